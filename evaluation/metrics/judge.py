"""A judge's reply read as AudioBench reads it: the last word, as a number, with no clean-up.

"Rating: 4", "4.", "3.5" and "4 out of 5" (which scores 5) are read. "(5)", "3/5", "Rating:4", "**4**", "4,"
and a rating followed by prose are not: the answer counts 0 and the success rate falls. AudioBench takes any
number that Python reads; here one outside the scale, "nan" and "inf" fail as well, since each would move the
mean as no rating can.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from evaluation.errors import MetricError

SCALES = (5, 1)  # the best rating; the worst is 0


def rating(reply: str, scale: int) -> float | None:
    """From 0 to `scale`; None where the reply has no rating. Raises MetricError for an unknown scale."""
    _check(scale)
    words = reply.split()
    try:
        value = float(words[-1]) if words else math.nan
    except ValueError:
        return None
    return abs(value) if 0 <= value <= scale else None  # abs: -0.0 is 0


def score(ratings: Sequence[float | None], scale: int) -> tuple[float, float]:
    """The mean from 0 to 100 with a missing rating as 0, and the share of replies that had one, from 0 to 1.

    Raises MetricError where there is nothing to score.
    """
    _check(scale)
    if not ratings:
        raise MetricError("There is no reply of a judge to score. Judge some answers first.")
    read = [value for value in ratings if value is not None]
    return sum(read) / len(ratings) * (100 / scale), len(read) / len(ratings)


def _check(scale: int) -> None:
    if scale not in SCALES:
        raise MetricError(f"A judge's scale is 5 (ratings 0 to 5) or 1 (0 or 1), not {scale!r}.")
