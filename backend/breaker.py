"""Keeps requests from an instance that fails, and lets one try when it may be well again.

closed     everything goes through
open       nothing does, for a while that doubles each time that the try fails as well
half open  one request at a time goes through: the try
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import Literal

BROKE = "broke"  # refused or cut connections: no need to count
_LONGEST_OPEN_S = 60.0
_LONGEST_REST_S = 30.0
_MOST_DOUBLINGS = 10
_JITTER = 0.25  # so that instances that failed together are not tried together

BreakerState = Literal["closed", "open", "half_open"]


class Breaker:
    """One instance's record of failures in a row."""

    def __init__(
        self,
        failures: int = 3,
        open_s: float = 5.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Open after `failures` in a row, at first for `open_s` and up to a quarter more."""
        self._failures = failures
        self._open_s = open_s
        self._clock = clock
        self._chance = chance
        self._in_a_row = 0
        self._times_open = 0  # since an answer came whole
        self._met_by: set[str] = set()  # whose requests failed since then
        self._until: float | None = None  # None: closed
        self._rests_until = -math.inf
        self._trying = False
        self._may_try_early = False
        self._tries_early = False

    @property
    def state(self) -> BreakerState:
        """What it lets through now."""
        if self._until is None:
            return "closed"
        return "open" if self._clock() < self._until else "half_open"

    @property
    def lets_through(self) -> bool:
        """Whether one more request may go now."""
        if self._clock() < self._rests_until or self.state == "open":
            return False
        return self.state == "closed" or not self._trying

    def wait_s(self) -> float:
        """How long until time alone lets a request through: 0 when one may go, infinite for a try's end."""
        if self.lets_through:
            return 0.0
        waits = max(self._until or -math.inf, self._rests_until) - self._clock()
        return waits if waits > 0 else math.inf

    def begin(self) -> bool:
        """Note that a request goes through; say whether it is the try, whose `end` must be told."""
        if self._until is None:
            return False
        self._trying = True
        return True

    def end(self) -> None:
        """Note that the try is over, whether it showed anything or not."""
        self._trying = False

    def answering(self) -> bool:
        """Note that words come: others may follow the try. Say whether that closed it after a time of rest.

        How often it opened is only forgotten when an answer comes whole.
        """
        if self.state != "half_open":
            return False
        self._until = None
        self._in_a_row = 0
        return not self._tries_early

    def succeeded(self) -> None:
        """Note a whole answer."""
        self._in_a_row = 0
        if self.state != "open":  # an answer that began before the failures shows nothing
            self._until = None
            self._times_open = 0
            self._met_by.clear()

    def failed(self, kind: str, owner: str = "") -> bool:
        """Note a failure; say whether it opened: at once for BROKE, else when failures came in a row.

        What only one owner has met may be due to what is asked, and then the others shall not wait.
        """
        self._in_a_row += 1
        self._met_by.add(owner)
        if self.state == "closed":
            opens = kind == BROKE or self._in_a_row >= self._failures
        else:
            opens = self._trying and self.state == "half_open"  # others began before it opened
        if not opens:
            return False
        of_one = owner != "" and len(self._met_by) == 1
        self._may_try_early = kind == BROKE and (self._times_open == 0 or of_one)
        self._tries_early = False
        length = min(self._open_s * 2 ** min(self._times_open, _MOST_DOUBLINGS), _LONGEST_OPEN_S)
        self._until = self._clock() + length * (1 + _JITTER * self._chance())
        self._times_open += 1
        return True

    def probed(self) -> None:
        """Note that the instance was found to be there: one that broke for the first time, or for one owner
        alone, may try at once."""
        if self._may_try_early and self.state == "open":
            self._until = self._clock()
            self._tries_early = True

    def rest(self, seconds: float) -> None:
        """Let nothing through for so long, 30 s at most: the instance asked for it. No failure is counted."""
        self._rests_until = max(self._rests_until, self._clock() + min(seconds, _LONGEST_REST_S))
