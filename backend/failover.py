"""Carries a request to its end through the loss of engines on the way.

before the first item   another attempt, elsewhere if it can be, after a short pause
after it                the same request runs again elsewhere and what was sent is left out, or for a sampled
                        answer, the next engine goes on from the text that was sent
slow                    a second attempt beside the first: `backend/hedge.py`
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
from collections.abc import AsyncGenerator, Collection, Sequence
from typing import Any, TypeVar

from backend import tracing
from backend.answer import Queued
from backend.attempt import Course
from backend.balancer import Instance, Place, Pool
from backend.errors import Busy, ControllerError, Interrupted, Unavailable, UpstreamFailed
from backend.hedge import Race
from backend.job import Job, Trip
from backend.resume import Diverged, Sent
from backend.settings import Settings
from backend.work import Ask

Item = TypeVar("Item")

_FIRST_PAUSE_S = 0.05
_LONGER = 4.0  # times the pause before: the third try comes after the hiccup of a second
_LONGEST_PAUSE_S = 1.0
_MOST_BREAKS = 2  # no further engine is tried with what may be the cause
_MOST_BREAKS_OF_MANY = 4  # where there are more than two, of which two may be restarting
_MOST_BEGUN = 3  # times as many: to break off on the way to where it was is no sign that it never gets on
_MOST_ROUNDS = 10  # of all retries, for an answer that gets on a little with each


async def carry(
    pool: Pool, job: Job[Item], trip: Trip, settings: Settings, sent: Sequence[Item] = ()
) -> AsyncGenerator[list[Item | Queued]]:
    """Yield a job's answer in batches, each item once, and places in the queue while it waits.

    `sent` has come to the asker by another way before. All that is yielded is remembered until the end, so
    whoever reads must bound it. Closing this generator cuts off what runs and gives its places back.

    Raises:
        Busy, Unavailable: there was no place in time.
        Interrupted: part of the answer was sent, and the rest cannot be had; Diverged, a kind of it, when
            another run gave something else.
        ControllerError: what the last engine said.
    """
    course = Course(job, Sent(sent))
    retries = _Retries(pool, course, settings.retries)
    while True:
        race: Race[Item] | None = None
        ask = dataclasses.replace(job.ask, urgent=job.ask.urgent or bool(course.sent))
        try:
            entrance = _Entrance(pool, ask, retries.failed, trip)
            try:
                with tracing.span("queue"):
                    while (queued := await entrance.wait()) is not None:
                        yield [queued]
                    place = entrance.take()
            finally:
                entrance.leave()
            retries.count(place.instance, trip)
            race = Race(course.begin(place), course, pool, ask, trip, settings)
            while (new := await race.read()) is not None:
                if new:
                    course.sent.add(new)
                    yield [*new]
            race.leader.instance.succeeded()
            return
        except ControllerError as failure:
            pause_s = retries.pause_s(failure, race)
        finally:
            if race:
                await race.close()
        await asyncio.sleep(pause_s)


class _Retries:
    """How often a request has failed, and where; says whether another attempt may help."""

    def __init__(self, pool: Pool, course: Course[Any], most: int) -> None:
        self.failed: set[Instance] = set()
        self._pool = pool
        self._course = course
        self._left = self._most = most  # fruitless ones in a row
        self._left_begun = _MOST_BEGUN * most  # of these, such as broke off while they repeated what was sent
        self._left_in_all = _MOST_ROUNDS * most
        self._left_busy = most * len(pool.instances)  # to be busy is no fault, and others may not be
        self._in_a_row = 0  # without getting on between them
        self._got = 0

    def count(self, instance: Instance, trip: Trip) -> None:
        """Note where an attempt begins."""
        trip.instance = instance.name
        trip.attempts += 1
        if self._course.sent:
            trip.resumed += 1
            instance.stats.resumed += 1
        elif self._left < self._most:
            instance.stats.retried += 1

    def pause_s(self, failure: ControllerError, race: Race[Any] | None) -> float:
        """Return how long to wait before the next attempt. Raises what to tell when there is none."""
        may_help = race and self._course.can_begin and self._may_help(failure, race)
        if race and may_help and self._is_left(failure, race.leader.has_begun):
            pause_s = min(_FIRST_PAUSE_S * _LONGER ** (self._in_a_row - 1), _LONGEST_PAUSE_S)
            self.failed |= race.failed
            return pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        is_final = isinstance(failure, UpstreamFailed) and not failure.again  # and says so better
        if self._course.sent and not is_final:
            raise Interrupted from failure
        raise failure

    def _is_left(self, failure: ControllerError, has_begun: bool) -> bool:
        """Whether one more attempt may be made; count it."""
        got, self._got = self._got, len(self._course.sent)
        if self._got > got:
            self._left, self._left_begun = self._most, _MOST_BEGUN * self._most
            self._course.breaks = self._in_a_row = 0
        self._in_a_row += 1
        if isinstance(failure, Busy | Unavailable):
            self._left_busy -= 1
            return self._left_busy >= 0
        self._left_in_all -= 1
        if has_begun:
            self._left_begun -= 1
        else:
            self._left -= 1
        return min(self._left, self._left_begun, self._left_in_all) >= 0

    def _may_help(self, failure: ControllerError, race: Race[Any]) -> bool:
        are_many = len(self._pool.instances) > _MOST_BREAKS
        if self._course.breaks >= (_MOST_BREAKS_OF_MANY if are_many else _MOST_BREAKS):
            return False
        if isinstance(failure, Diverged):  # a greedy answer too may be rounded otherwise on another machine
            may_continue = self._course.can_continue and not self._course.has_diverged
            self._course.has_diverged = True
            return may_continue
        if failure.broke or isinstance(failure, Busy | Unavailable):
            return failure.again  # there too, once it is back
        if self._course.sent:
            return failure.again  # where it was as well: to break off in the middle is worst
        failed = self.failed | race.failed if failure.code == "upstream_timeout" else {race.leader.instance}
        return failure.again and any(one not in failed for one in self._pool.instances)


class _Entrance:
    """The way to a place: at once, or through the queue."""

    def __init__(self, pool: Pool, ask: Ask, avoid: Collection[Instance], trip: Trip) -> None:
        self._pool = pool
        self._ask = ask
        self._avoid = avoid
        self._trip = trip
        self._began = time.perf_counter()
        self._place: Place | None = None
        self._entering: asyncio.Task[Place] | None = None
        self._queued: Queued | None = None
        self._news = asyncio.Event()

    async def wait(self) -> Queued | None:
        """Return a new place in the queue, or None when there is a place to take.

        Raises Busy, Unavailable.
        """
        if self._entering is None:
            try:
                self._place = await self._pool.enter(self._ask, avoid=self._avoid, wait=False)
                return None
            except Busy:
                entering = self._pool.enter(self._ask, avoid=self._avoid, queued=self._tell)
                self._entering = asyncio.create_task(entering)
                self._entering.add_done_callback(lambda _: self._news.set())
        await self._news.wait()
        self._news.clear()
        if not self._entering.done():
            return self._queued
        entered, self._entering = self._entering, None
        self._place = entered.result()
        return None

    def take(self) -> Place:
        """Return the place, which is the caller's from now on."""
        assert self._place is not None
        place, self._place = self._place, None
        return place

    def leave(self) -> None:
        """Note how long it took; leave the queue, or give back a place that nobody took."""
        waited_ms = 1_000 * (time.perf_counter() - self._began)
        self._trip.queue_ms = round(self._trip.queue_ms + waited_ms, 2)
        if self._entering and not self._entering.done():
            self._entering.cancel()
        elif self._entering and not self._entering.exception():
            self._entering.result().release()
        if self._place:
            self._place.release()

    def _tell(self, queued: Queued) -> None:
        self._queued = queued
        self._news.set()
