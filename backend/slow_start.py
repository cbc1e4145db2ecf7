"""How many places an instance gives after it was away: first one, then more, so that no herd comes."""

from __future__ import annotations

import math
from collections.abc import Callable


class SlowStart:
    """A number of places that grows from one to all in a straight line over some seconds."""

    def __init__(self, over_s: float, clock: Callable[[], float]) -> None:
        """All places are given until `begin`; with `over_s` 0 always."""
        self._over_s = over_s
        self._clock = clock
        self._since = -math.inf

    def begin(self) -> None:
        """Go back to one place."""
        self._since = self._clock()

    def limit(self, places: int) -> int:
        """How many of all places are given now."""
        grown = self._clock() - self._since
        return places if grown >= self._over_s else 1 + int((places - 1) * grown / self._over_s)

    def wait_s(self, places: int) -> float:
        """How long until one more is given; infinite when all are."""
        limit = self.limit(places)
        if limit >= places:
            return math.inf
        return self._since + limit * self._over_s / (places - 1) - self._clock()
