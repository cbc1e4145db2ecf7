"""Intervals by bootstrap: clips are drawn anew, with replacement; the middle 95 % of the values stands.

The same seed gives the same interval on every machine. 1,000 draws of 16,000 clips take a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.metrics.bleu import Counter, Counts, counted

Interval = tuple[float, float]  # low, high, in the unit of the statistic
RESAMPLES, LEVEL = 1000, 0.95


def bootstrap(
    statistic: Callable[[NDArray[np.intp]], float],
    n: int,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """The percentile interval of `statistic`, which is called with indices of clips, [n], below n.

    With one clip, or none, nothing is known of how it would vary: both ends are the value itself.
    """
    if n < 2:
        value = statistic(np.arange(n))
        return value, value
    random = np.random.default_rng(seed)
    values = [statistic(random.integers(0, n, n)) for _ in range(resamples)]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def of_rate(edits: ArrayLike, words: ArrayLike, seed: int = 0) -> Interval:
    """Of a corpus rate such as WER, a fraction: edits and words by clip, [n] each. (0, 0) for none."""
    pairs = np.stack([np.asarray(edits, np.int64), np.asarray(words, np.int64)], axis=1)  # [n, 2]

    def rate(chosen: NDArray[np.intp]) -> float:
        wrong, said = pairs[chosen].sum(axis=0)
        return float(wrong / said) if said else 0.0

    return bootstrap(rate, len(pairs), seed)


def of_mean(values: ArrayLike, seed: int = 0) -> Interval:
    """Of a mean, in the unit of the values, [n]. (0, 0) for none."""
    array = np.asarray(values, np.float64)
    return bootstrap(lambda chosen: float(array[chosen].mean()) if len(chosen) else 0.0, len(array), seed)


def of_counts(counts: Counts, counter: Counter, seed: int = 0) -> Interval:
    """Of corpus BLEU, 0 to 100, from the counts of its lines, [n, 10]. (0, 0) for none."""
    return bootstrap(lambda chosen: counter.score(counts[chosen].sum(axis=0).tolist()), len(counts), seed)


def of_bleu(
    references: Sequence[str], hypotheses: Sequence[str], tokenize: str = "13a", seed: int = 0
) -> Interval:
    """Of corpus BLEU, 0 to 100. Raises MetricError as `bleu.corpus` does."""
    counter = Counter(tokenize)
    return of_counts(counted(references, hypotheses, counter), counter, seed)
