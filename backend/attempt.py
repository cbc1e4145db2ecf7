"""One attempt to have an answer from one instance, and where the next one begins."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import Any, Generic, TypeVar

from backend.answer import Done, Token
from backend.breaker import BROKE
from backend.errors import BROKEN_OFF, Busy, ControllerError, Unavailable, UpstreamFailed
from backend.instance import Instance, Place
from backend.job import Job
from backend.resume import Again, Diverged, First, News, Onward, Sent

Item = TypeVar("Item")

_REST_S = 1.0  # for an instance that is busy and does not say for how long


class Attempt(Generic[Item]):
    """A place that is held, and what of the items that come there is new."""

    def __init__(self, place: Place, items: AsyncGenerator[list[Item]], news: News[Item]) -> None:
        self.place = place
        self.instance = place.instance
        self.longest_gap_s = 0.0  # between two batches
        self.has_begun = False
        self._has_new = False
        self._items = items
        self._news = news
        self._last = 0.0

    async def read(self) -> list[Item] | None:
        """Return what is new in the next batch, or None at the end. Raises ControllerError."""
        try:
            batch = await anext(self._items)
        except StopAsyncIteration:
            self._news.end()
            return None
        now = time.monotonic()
        if self.has_begun:
            self.longest_gap_s = max(self.longest_gap_s, now - self._last)
        self.has_begun, self._last = True, now
        self.place.produced(sum(type(item) is Token for item in batch))
        new = self._news.of(batch)
        self._has_new |= bool(new)
        return new

    @property
    def is_fruitless(self) -> bool:
        """Whether it came as far as what was sent, and no further."""
        return self._news.is_level and not self._has_new

    async def close(self) -> None:
        """Cut off what has not ended, and give the place back."""
        try:
            await self._items.aclose()
        finally:
            self.place.release()


class Course(Generic[Item]):
    """What has been sent of an answer, and how an attempt goes on from there."""

    def __init__(self, job: Job[Item], sent: Sent) -> None:
        self.sent = sent
        self.has_diverged = False  # so that running it again is of no use
        self.breaks = 0  # of connections, all at this very place: two may be due to what is asked
        self._met: set[Instance] = set()  # where it has failed
        self._job = job

    @property
    def can_begin(self) -> bool:
        """Whether an attempt from here on gives the rest of the same answer."""
        return self._can_repeat or self.can_continue

    @property
    def can_continue(self) -> bool:
        """Whether an engine can go on from the text that was sent."""
        return self._job.can_continue and not self.sent.data

    def begin(self, place: Place) -> Attempt[Item]:
        """Begin an attempt that brings what has not been sent by now."""
        job = self._job
        if not self.sent:
            return Attempt(place, job.attempt(place.instance, ""), First())
        if self._can_repeat:
            return Attempt(place, job.attempt(place.instance, ""), Again(self.sent))
        onward = Onward(self.sent)
        left = None if job.max_tokens is None else job.max_tokens - self.sent.tokens
        if left is not None and left <= 0:  # all of it came but for its end
            return Attempt(place, _ended(), onward)
        return Attempt(place, job.attempt(place.instance, onward.begun, left), onward)

    def report(self, attempt: Attempt[Item], failure: ControllerError) -> None:
        """Tell an instance how it failed; what the request itself did wrong is no failure."""
        instance = attempt.instance
        again = instance in self._met and attempt.is_fruitless
        if failure.broke:
            self.breaks += failure.code == BROKEN_OFF and attempt.is_fruitless
            instance.failed(BROKE, self._job.ask.owner, again=again)
        elif isinstance(failure, Busy | Unavailable):
            instance.rest(_rest_s(failure))
            return
        elif isinstance(failure, UpstreamFailed) and not isinstance(failure, Diverged):
            instance.failed(failure.code, self._job.ask.owner, again=again)
        self._met.add(instance)

    @property
    def _can_repeat(self) -> bool:
        drawn = not self._job.repeats and (self.sent.text or self.sent.data)  # another run draws other words
        return not (drawn or self.has_diverged)


def _rest_s(failure: ControllerError) -> float:
    """What it asked for, in whole seconds; a date is not read."""
    said = failure.headers.get("Retry-After", "")
    return float(said) if said.isdecimal() else _REST_S


async def _ended() -> AsyncGenerator[list[Any]]:
    yield [Done("length")]
