"""When visitors come: the shapes of events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HOUR_S = 3_600.0
Times = NDArray[np.float64]

CLASS_S = 4.0  # the mean time from "now press" to the press
FAIR_OPENS_H, FAIR_CLOSES_H = 10.0, 18.0
FAIR = (  # hour of the day, visitors an hour beside the other hours: two rushes and a lunch
    (10.0, 0.3),
    (11.0, 1.0),
    (11.75, 1.8),
    (12.5, 1.0),
    (13.25, 0.6),
    (14.5, 1.2),
    (15.5, 2.0),
    (16.5, 1.0),
    (18.0, 0.2),
)
RISE_S, HALF_LIFE_S, LAUNCH_S = 600.0, 2_700.0, 6 * HOUR_S  # the news is out; then half as many every 45 min


@dataclass(frozen=True)
class Shape:
    """A kind of event: how many come if nobody says, and when each comes, in s from its beginning."""

    title: str
    story: str
    visitors: int
    draw: Callable[[int, np.random.Generator], Times]


def press_at_once(visitors: int, draw: np.random.Generator) -> Times:
    """Everybody within seconds of one word."""
    return np.sort(draw.exponential(CLASS_S, visitors))


def day_at_a_fair(visitors: int, draw: np.random.Generator) -> Times:
    """A Poisson process whose rate follows `FAIR`, in straight lines; `visitors` come on average."""
    hours, rates = np.array(FAIR).T
    return _poisson(visitors, (hours - FAIR_OPENS_H) * HOUR_S, rates, draw)


def launch(visitors: int, draw: np.random.Generator) -> Times:
    """A Poisson process that rises to its peak in `RISE_S` and then halves every `HALF_LIFE_S`."""
    after = np.arange(RISE_S, LAUNCH_S + 1, 60.0)
    rates = 0.5 ** ((after - RISE_S) / HALF_LIFE_S)
    return _poisson(visitors, np.concatenate([[0.0], after]), np.concatenate([[0.0], rates]), draw)


def _poisson(mean: int, at: Times, rates: Times, draw: np.random.Generator) -> Times:
    """Draw a Poisson process whose rate runs in straight lines through (at, rates), `mean` in all."""
    steps = np.diff(at)
    shares = np.concatenate([[0.0], np.cumsum(steps * (rates[1:] + rates[:-1]) / 2)])
    wanted = np.sort(draw.uniform(0.0, shares[-1], draw.poisson(mean)))
    piece = np.clip(np.searchsorted(shares, wanted, "right") - 1, 0, len(steps) - 1)
    low, slope = rates[piece], (rates[piece + 1] - rates[piece]) / steps[piece]
    area = wanted - shares[piece]
    # The time x after the piece's start at which low * x + slope * x**2 / 2 is the area.
    root = np.sqrt(np.maximum(low**2 + 2 * slope * area, 0.0))
    x = np.divide(2 * area, low + root, out=np.zeros_like(area), where=(low + root) > 0)
    return np.sort(at[piece] + np.clip(x, 0.0, steps[piece]))


SHAPES: Mapping[str, Shape] = {
    "class": Shape(
        "A class pressing at once",
        "all within seconds of one word, then each at its own pace",
        40,
        press_at_once,
    ),
    "fair": Shape(
        "A day at a fair",
        "10 to 18 h, with a rush before noon and one at half past three",
        3_000,
        day_at_a_fair,
    ),
    "launch": Shape(
        "A launch at national scale",
        "the peak ten minutes after the news, half as many every 45 minutes, six hours",
        30_000,
        launch,
    ),
}
