"""How many requests are worked on at once, and how many may wait."""

import asyncio
from types import TracebackType
from typing import Self

from model.errors import Busy


class Places:
    """A bounded number of places with a bounded, first-come queue; use it as an async context manager."""

    def __init__(self, running: int, waiting: int) -> None:
        """`running` requests at once, `waiting` more in the queue."""
        self._free = asyncio.Semaphore(running)
        self._most_waiting = waiting
        self.waiting = 0
        self.running = 0

    async def __aenter__(self) -> Self:
        """Take a place, waiting for one if need be. Raises Busy when the queue is full."""
        if self._free.locked() and self.waiting >= self._most_waiting:
            raise Busy("engine_busy", "Many people are asking at the moment. Try again in a few seconds.")
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1
        self.running += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the place back."""
        self.running -= 1
        self._free.release()
