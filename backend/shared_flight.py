"""One upstream call for all who ask the same at the same time, at whichever controller.

Who first sets a key's lock in Redis produces the answer; the others follow its stream. When the lock runs
out without an end in the stream, its holder has died: one follower sets the lock, takes the stream out of
reach of a holder that only slept, and goes on from there. Without Redis, at any moment, each controller goes
on alone from what has come so far.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Any, Generic

from backend.answer import Done, Queued
from backend.broadcast import LOCK_MS, Broadcast, Leading, hold
from backend.entries import Claim, End, Names
from backend.flight import Flights
from backend.follower import Flight, Follower, Start
from backend.following import Following
from backend.job import Item, Trip
from backend.redis_link import PATIENCE_S, READERS, RedisAway, RedisLink

_READ_AT_ONCE = READERS - 4  # streams; the bell is read too
_CLAIMS_AT_ONCE = 128  # in a greater crowd one's turn would come too late
_ENDINGS_AT_ONCE = 16


class SharedFlights:
    """As Flights, over all controllers that share a Redis."""

    def __init__(self, local: Flights, link: RedisLink) -> None:
        self._local = local
        self.link = link
        self.name = secrets.token_hex(8)
        self.leading = Leading(link, self.name)
        self._read = 0
        self._claiming = 0
        self._turn_to_end = asyncio.Semaphore(_ENDINGS_AT_ONCE)
        self._ending: dict[str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._local)

    def join(self, key: str | None, start: Start[Item], trip: Trip, *, fresh: bool = False) -> Follower[Item]:
        """As Flights.join."""
        if key is None or fresh or not self.link.up:
            return self._local.join(key, start, trip, fresh=fresh)
        names = Names(self.link.prefix, key)
        return self._local.board(key, lambda flight: _Way(self, names, start, flight).batches(), trip)

    def under_way(self) -> list[tuple[str, float]]:
        """As Flights.under_way: those of this controller."""
        return self._local.under_way()

    def end_all(self, error: Exception) -> None:
        """As Flights.end_all: those of this controller."""
        self._local.end_all(error)

    async def close(self) -> None:
        """End every flight here. Followers elsewhere go on from where it stood."""
        await self._local.close()
        if self._ending:
            await asyncio.wait(self._ending.values(), timeout=2 * PATIENCE_S)
        await self.leading.close()

    async def claim(self, names: Names, claim: Claim) -> Claim | None:
        """Set the lock; return None, or whose it is. Raises RedisAway."""
        while self.link.up and self._claiming < _CLAIMS_AT_ONCE:
            self._claiming += 1
            try:
                with self.link.guard():
                    async with asyncio.timeout(PATIENCE_S):
                        held: Any = await self.link.client.set(
                            names.lock, str(claim), nx=True, px=LOCK_MS, get=True
                        )
            except asyncio.CancelledError:
                self.free(names, claim)  # it may have been set
                raise
            finally:
                self._claiming -= 1
            if held is None:
                return None
            try:
                holder = Claim.parse(held)
            except ValueError:
                break
            if holder.token not in self._ending:
                return holder
            await asyncio.wait([self._ending[holder.token]])
        raise RedisAway

    def free(self, names: Names, claim: Claim) -> None:
        """Give a lock back, in the background."""
        self.end(claim, hold(self.link, names, claim, 0))

    def end(self, claim: Claim, ending: Coroutine[Any, Any, None]) -> None:
        """Do what ends a claim, in the background."""
        task = self._ending[claim.token] = asyncio.create_task(self._in_turn(ending))
        task.add_done_callback(lambda _: self._ending.pop(claim.token))

    async def _in_turn(self, ending: Coroutine[Any, Any, None]) -> None:
        async with self._turn_to_end:
            with suppress(RedisAway):
                await ending

    @contextmanager
    def reading(self) -> Iterator[bool]:
        """Say whether one more stream may be read, and count it."""
        self._read += 1
        try:
            yield self._read <= _READ_AT_ONCE
        finally:
            self._read -= 1


class _Way(Generic[Item]):
    """How one flight here comes to its items: from a producer of its own, from elsewhere, or both in turn."""

    def __init__(self, shared: SharedFlights, names: Names, start: Start[Item], flight: Flight[Item]) -> None:
        self._shared = shared
        self._names = names
        self._start = start
        self._flight = flight
        self._followed: Following | None = None
        self._failed = ""  # the token of a claim that failed before anything came
        self._again = True

    async def batches(self) -> AsyncGenerator[list[Item | Queued]]:
        """Claim, then lead or follow, until it has ended. Raises what the producer raises."""
        while self._again:
            self._again = False
            lineage = self._followed.claim.lineage if self._followed else secrets.token_hex(8)
            claim = Claim(lineage, self._shared.name)
            try:
                holder = await self._shared.claim(self._names, claim)
            except RedisAway:
                part = self._alone()
            else:
                if holder is not None:
                    part = self._follow(holder)
                elif self._followed is not None:
                    part = self._take_over(claim, self._followed)
                else:
                    part = self._lead(claim)
            async with aclosing(part):
                async for batch in part:
                    yield batch

    async def _alone(self) -> AsyncGenerator[list[Item | Queued]]:
        """Produce what is missing."""
        items = self._flight.items
        self._flight.remote = bool(items)
        if self._flight.over:
            return  # everybody left while Redis was asked
        if items and isinstance(items[-1], Done):
            return  # only the word that this was all is missing
        async with aclosing(self._start(tuple(items))) as batches:
            async for batch in batches:
                yield batch

    async def _follow(self, holder: Claim) -> AsyncGenerator[list[Item | Queued]]:
        """Show what another controller produces."""
        flight, before = self._flight, self._followed
        is_strange = before is not None and flight.items and holder.lineage != before.claim.lineage
        with self._shared.reading() as may_read:
            if may_read and not is_strange and holder.token != self._failed:
                flight.remote = True
                self._followed = Following(self._shared.link, self._names, holder, flight)
                async with aclosing(self._followed.batches()) as batches:
                    async for batch in batches:
                        yield batch
                if self._has_ended(self._followed):
                    return
        async with aclosing(self._alone()) as batches:
            async for batch in batches:
                yield batch

    async def _take_over(self, claim: Claim, followed: Following) -> AsyncGenerator[list[Item | Queued]]:
        """Read what is left of the stream that was followed, and lead from there."""
        was_there = may_lead = False
        try:
            was_there, batch = await followed.rest()
            if batch:
                yield batch
            may_lead = was_there and followed.end in ("", "gone")
        except RedisAway:
            followed.end = "away"
        finally:
            if not may_lead:
                self._shared.free(self._names, claim)
        if not (was_there or self._flight.items):
            self._followed, self._again = None, True
        elif may_lead or not self._has_ended(followed):
            async with aclosing(self._lead(claim) if may_lead else self._alone()) as batches:
                async for batch in batches:
                    yield batch

    async def _lead(self, claim: Claim) -> AsyncGenerator[list[Item | Queued]]:
        """Produce for all."""
        broadcast = Broadcast(self._shared.link, self._names, claim, self._flight)
        self._flight.deserted = broadcast.deserted
        self._shared.leading.add(broadcast)
        end: End = "gone"
        error: Exception | None = None
        try:
            async with aclosing(self._alone()) as batches:
                async for batch in batches:
                    yield batch
            if not self._flight.over:
                end = "done"
        except Exception as problem:
            end, error = "error", problem
            raise
        finally:
            self._flight.deserted = None
            self._shared.leading.remove(broadcast)
            self._shared.end(claim, broadcast.end(end, error))

    def _has_ended(self, followed: Following) -> bool:
        """Whether nothing, or nothing but another claim, is to be done here. Raises the producer's error.

        An error that another controller might not meet, before anything came, is not passed on.
        """
        error = followed.error
        if followed.end == "error" and error is not None:
            if self._flight.items or not (error.again or getattr(error, "mine", False)):
                raise error
            self._failed = followed.claim.token
            self._followed = None
        self._again = followed.end in ("gone", "error")
        return self._again or followed.end == "done"
