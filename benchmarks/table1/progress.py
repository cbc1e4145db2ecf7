"""One line that says how far the bench is and how long it still takes, on standard error."""

from __future__ import annotations

import sys
import time

SPARSE_S = 15.0  # between two lines where there is no terminal


class Progress:
    """Counts work in seconds of audio: the only measure that cells, warm-ups and the baseline share."""

    def __init__(self, total: float) -> None:
        """`total` seconds of audio that will be sent."""
        self._total = total
        self._done = 0.0
        self._began = time.monotonic()
        self._told = 0.0
        self._terminal = sys.stderr.isatty()
        self._label = ""

    def begin(self, label: str) -> None:
        """What is measured from now on."""
        self._label = label
        self._told = 0.0

    def tick(self, seconds: float) -> None:
        """A clip of so many seconds was answered."""
        self._done = min(self._done + seconds, self._total)
        now = time.monotonic()
        if not self._terminal and now - self._told < SPARSE_S and self._done < self._total:
            return
        self._told = now
        left = (now - self._began) * (self._total / self._done - 1)
        line = f"{self._label}: {self._done / self._total:.0%} of the whole, about {duration(left)} left"
        sys.stderr.write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._terminal:
            sys.stderr.write("\n")


def duration(seconds: float) -> str:
    """In words: `40 s`, `3 min`, `2 h 5 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
