"""Tells those who wait for a place where they are: at once, and on change, every half second at most."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass

from backend.admission import FairQueue
from backend.answer import Queued
from backend.instance import Instance, Place
from backend.work import Ask

_TELL_S = 0.5  # between two words about a place in the queue
_SOONEST_S = 0.01


@dataclass(eq=False)
class Waiting:
    """One who waits for a place; `told` is the last word about where in the queue that is.

    Until the moment `hopes_until` it takes none of those in `avoid`: another may be well again by then.
    """

    ask: Ask
    avoid: Collection[Instance]
    queued: Callable[[Queued], None]
    place: asyncio.Future[Place]
    told: Queued
    hopes_until: float
    since: float


class Announcer:
    """Looks at a queue again and again for as long as anybody waits in it."""

    def __init__(
        self,
        queue: FairQueue[Waiting],
        hand_out: Callable[[], None],
        wait_s: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        """`hand_out` gives away what time alone has freed; `wait_s` says when there may be something."""
        self._queue = queue
        self._hand_out = hand_out
        self._wait_s = wait_s
        self._clock = clock
        self._next_look: asyncio.TimerHandle | None = None
        self._told_at = clock()

    def look_again(self) -> None:
        """Look when time may have freed a place, or there may be news, if anybody waits."""
        if self._queue and self._next_look is None:
            delay = min(max(self._wait_s(), _SOONEST_S), _TELL_S)
            self._next_look = asyncio.get_running_loop().call_later(delay, self._look)

    def say(self, waiting: Waiting, position: int) -> None:
        """Tell a position if it is news. It never gets worse, though a newcomer may pass one's second."""
        if waiting.told.position:
            position = min(position, waiting.told.position)
        told = Queued(position, len(self._queue))
        if told != waiting.told and not waiting.place.done():
            waiting.told = told
            waiting.queued(told)

    def _look(self) -> None:
        self._next_look = None
        self._hand_out()
        now = self._clock()
        if now - self._told_at >= _TELL_S:
            self._told_at = now
            for position, waiting in enumerate(self._queue, 1):
                self.say(waiting, position)
        self.look_again()
