"""Asking again: exponential pauses with jitter, the server's own wish first; and no more requests than its
rate.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from evaluation.stream import Reply
from evaluation.systems import Patience
from evaluation.trouble import Trouble

Found = TypeVar("Found")


class Pace:
    """Keeps requests a minute below a rate, however many ask at once."""

    def __init__(self, rate: float) -> None:
        """`rate` in requests a minute; 0 for no bound."""
        self._gap_s = 60 / rate if rate else 0.0
        self._next = 0.0

    async def turn(self) -> None:
        """Wait until the next request may leave."""
        now = time.monotonic()
        mine = max(now, self._next)
        self._next = mine + self._gap_s
        if mine > now:
            await asyncio.sleep(mine - now)

    def hold(self, seconds: float) -> None:
        """Let nothing leave for so long: the server said so to one, and means all."""
        self._next = max(self._next, time.monotonic() + seconds)


class Streak:
    """Counts requests in a row that an endpoint did not answer."""

    def __init__(self, patience: Patience) -> None:
        self.length = 0
        self._most = patience.give_up_after

    def is_over(self, failed: bool) -> bool:
        """Count one more. True: the endpoint is away, and asking on is no use."""
        self.length = self.length + 1 if failed else 0
        return self.length >= self._most


async def persist(ask: Callable[[], Awaitable[Found]], patience: Patience, pace: Pace) -> Found:
    """Ask until an answer comes, asking again cannot help, or the tries are used up. Raises Trouble."""
    tries = 0
    while True:
        await pace.turn()
        tries += 1
        try:
            found = await ask()
        except Trouble as trouble:
            if not trouble.again or tries >= patience.tries:
                trouble.tries = tries
                raise
            if trouble.wait_s is not None:
                pace.hold(trouble.wait_s)
            await asyncio.sleep(max(trouble.wait_s or 0.0, _pause(tries, patience)))
            continue
        if isinstance(found, Reply):
            found.tries = tries
        return found


def _pause(tries: int, patience: Patience) -> float:
    """Doubled each time, and spread out, so that clips that failed together do not come back together."""
    most: float = min(patience.pause_s * 2 ** (tries - 1), patience.longest_pause_s)
    return most * random.uniform(0.5, 1.0)  # noqa: S311
