"""One answer on its way, and those who follow it.

    Flight     what came so far, from a producer that runs as a task of its own
    Follower   one asker's view: first what came before, then every batch as it comes

Nothing waits for a slow follower; what it has not read lies in the flight, which is bounded in bytes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Generic, cast

from backend.answer import Queued
from backend.errors import ControllerError, Unavailable, UpstreamFailed
from backend.items import Items
from backend.job import Item, Trip

Start = Callable[[Sequence[Item]], AsyncGenerator[list[Item | Queued]]]
"""Begins to produce an answer; what is passed in has been sent already and is not to come again."""
Launch = Callable[["Flight[Item]"], AsyncGenerator[list[Item | Queued]]]
"""The same for who needs to know the flight itself: what came so far are its items."""
Board = Callable[[], tuple["Flight[Item]", bool]]
"""Finds a flight to follow, and says whether it was there before."""
_ITEM_BYTES = 100  # a piece of text as an object, beside its letters


class Flight(Generic[Item]):
    """One answer on its way."""

    def __init__(
        self, key: str | None, trip: Trip, max_bytes: int, ended: Callable[[Flight[Any]], None]
    ) -> None:
        self.key = key
        self.trip = trip
        self.items = Items()
        self.queued: Queued | None = None
        self.over = False
        self.whole = False
        self.error: Exception | None = None
        self.remote = False  # whether another controller produces it
        self.followers = 0
        self.deserted: Callable[[], None] | None = None  # called when all have left, instead of ending
        self.task: asyncio.Task[None]
        self.began = time.monotonic()
        self._bytes_left = max_bytes
        self._ended = ended
        self._waiting: list[asyncio.Future[None]] = []

    async def run(self, launch: Launch[Item]) -> None:
        """Produce to the end."""
        try:
            async with aclosing(launch(self)) as batches:
                async for batch in batches:
                    if self.over:  # a library on the way has swallowed the cancellation
                        return
                    self._take(batch)
        except asyncio.CancelledError:
            self._end(stopping())
            raise
        except Exception as error:
            self._end(error)
        else:
            self.whole = not self.over
            self._end(None)

    def leave(self) -> None:
        """One follower fewer; the last one ends the flight."""
        self.followers -= 1
        if self.followers or self.over:
            return
        if self.deserted:
            self.deserted()
        else:
            self.abandon()

    def abandon(self, error: Exception | None = None) -> None:
        """End at once; the engine's place is free as soon as the producer has been cancelled."""
        if not self.over:
            self._end(error)
            self.task.cancel()

    async def news(self) -> None:
        """Return when something has come, or the end."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            raise

    def _take(self, batch: list[Item | Queued]) -> None:
        for item in batch:
            if isinstance(item, Queued):
                self.queued = item
                continue
            self._bytes_left -= size_of(item)
            if self._bytes_left < 0:
                raise UpstreamFailed(
                    "answer_too_long",
                    "The model's answer is longer than this server passes on. Ask for fewer words.",
                    again=False,
                )
            self.queued = None
            self.items.append(item)
        self._wake()

    def _end(self, error: Exception | None) -> None:
        if self.over:
            return
        self.over = True
        self.error = error
        try:
            self._ended(self)
        finally:
            self._wake()

    def _wake(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)


class Follower(Generic[Item]):
    """Yields batches of all that is new, a place in the queue only while it is the latest news.

    Raises the producer's error, after what came. Close it in any case: that is how one leaves. A cancelled
    wait loses nothing and may be taken up again.
    """

    def __init__(self, board: Board[Item]) -> None:
        self._find = board
        self._told: Queued | None = None
        self._read = 0
        self._board()

    @property
    def shared(self) -> bool:
        """Whether another asker started the answer, here or at another controller."""
        return self._joined or self._flight.remote

    @property
    def trip(self) -> Trip:
        """The way of the answer that is followed, which may be another asker's."""
        return self._flight.trip

    def __aiter__(self) -> Follower[Item]:
        return self

    async def __anext__(self) -> list[Item | Queued]:
        while not self._left:
            flight = self._flight
            if self._read < len(flight.items):
                new = flight.items[self._read :]
                self._read += len(new)
                return cast("list[Item | Queued]", new)
            if flight.over:
                self._leave()
                if flight.error is None:
                    break
                if not self._may_start_over(flight.error):
                    raise _once_more(flight.error)
                self._board()
            elif flight.queued and flight.queued is not self._told:
                self._told = flight.queued
                return [flight.queued]
            else:
                await flight.news()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Leave. The last one to leave ends the flight."""
        self._leave()

    def _board(self) -> None:
        self._flight, self._joined = self._find()
        self._flight.followers += 1
        self._left = False

    def _leave(self) -> None:
        if not self._left:
            self._left = True
            self._flight.leave()

    def _may_start_over(self, error: Exception) -> bool:
        """Whether the error concerns only who started, so that whoever joined may try in its own name."""
        return self._joined and not self._read and getattr(error, "mine", False)


def stopping() -> Unavailable:
    """Return what is told to those who still listen when the controller stops."""
    return Unavailable("stopping", "The server is stopping. Ask again in a moment.")


def size_of(item: object) -> int:
    """Return about how many bytes an item takes in memory."""
    if isinstance(item, bytes):
        return len(item)
    text = getattr(item, "text", "")
    return _ITEM_BYTES + (len(text) if text.isascii() else 4 * len(text))


def _once_more(error: Exception) -> Exception:
    """Return the error for one more to raise, without the traces of those who raised it before."""
    if not isinstance(error, ControllerError):
        return error
    again = type(error).__new__(type(error), *error.args)
    again.__dict__.update(error.__dict__)
    again.__cause__ = error.__cause__
    return again
