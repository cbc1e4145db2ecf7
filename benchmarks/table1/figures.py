"""What is measured of a request, and what a cell of the table makes of it. All times are in seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Counted = Literal["its token ids", "its log-probs", "its text"]


@dataclass(frozen=True)
class Timing:
    """One answered request. A chunk is a piece of the stream that holds at least one token."""

    sent: float  # clock when the request was sent
    chunks: tuple[float, ...]  # clock of every chunk, the first token's first
    done: float  # clock when the stream had ended
    tokens: int  # in the whole answer
    first_tokens: int = 1  # in the first chunk
    counted: Counted = "its token ids"  # how tokens were told from chunks
    prompt_tokens: int = 0

    @property
    def ttft(self) -> float:
        """Time to first token: from the request's first byte out to the first chunk in."""
        return self.chunks[0] - self.sent

    @property
    def end_to_end(self) -> float:
        """From the request's first byte out to the end of the stream."""
        return self.done - self.sent

    @property
    def gaps(self) -> list[float]:
        """Between each chunk and the next."""
        return [after - before for before, after in zip(self.chunks, self.chunks[1:], strict=False)]

    @property
    def itl(self) -> float | None:
        """Inter-token latency: what each token after the first chunk took; None if none came after it."""
        after = self.tokens - self.first_tokens
        return (self.chunks[-1] - self.chunks[0]) / after if after > 0 and len(self.chunks) > 1 else None


@dataclass(frozen=True)
class Spread:
    """Mean and percentiles of some times; NaN when there are none."""

    mean: float
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, times: Sequence[float]) -> Spread:
        """Percentiles lie between neighbours by straight line, as numpy has them."""
        if not times:
            return cls(*[float("nan")] * 4)
        p50, p95, p99 = np.percentile(times, (50, 95, 99))
        return cls(float(np.mean(times)), float(p50), float(p95), float(p99))


@dataclass
class Cell:
    """One audio length at one concurrency."""

    seconds: float
    concurrency: int
    trials: int  # wanted
    tokens_wanted: int  # of each answer
    timings: list[Timing] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)  # reason: how often
    began: float = 0.0
    ended: float = 0.0

    @property
    def done(self) -> int:
        """Requests that have ended, well or not."""
        return len(self.timings) + self.failures.total()

    @property
    def ttft(self) -> Spread:
        """Over requests."""
        return Spread.of([timing.ttft for timing in self.timings])

    @property
    def itl(self) -> Spread:
        """Over requests, each with the mean of its own tokens."""
        return Spread.of([timing.itl for timing in self.timings if timing.itl is not None])

    @property
    def gaps(self) -> Spread:
        """Over all gaps of all requests: shows the stutter that a request's mean hides."""
        return Spread.of([gap for timing in self.timings for gap in timing.gaps])

    @property
    def end_to_end(self) -> Spread:
        """Over requests."""
        return Spread.of([timing.end_to_end for timing in self.timings])

    @property
    def tokens(self) -> int:
        """Of all answers."""
        return sum(timing.tokens for timing in self.timings)

    @property
    def tokens_per_second(self) -> float:
        """Of the whole cell, from its first request to its last token, the emptying end included."""
        return self.tokens / (self.ended - self.began) if self.ended > self.began else 0.0

    @property
    def cut_short(self) -> int:
        """Answers with fewer tokens than asked for."""
        return sum(timing.tokens < self.tokens_wanted for timing in self.timings)
