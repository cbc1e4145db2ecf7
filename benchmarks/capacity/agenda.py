"""What happens when, in simulated seconds."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Agenda:
    """A clock that jumps to the next event; those of one moment happen in the order they were put in."""

    def __init__(self) -> None:
        self.now = 0.0  # s
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def clock(self) -> float:
        """Return the simulated time in seconds, for parts of the controller that want a clock."""
        return self.now

    def at(self, moment: float, what: Callable[..., None], *arguments: Any) -> None:
        """Have something happen at a moment, now at the earliest."""
        self._count += 1
        heapq.heappush(self._events, (max(moment, self.now), self._count, what, arguments))

    def run(self) -> None:
        """Go on until nothing is left to happen."""
        events = self._events
        while events:
            self.now, _, what, arguments = heapq.heappop(events)
            what(*arguments)
