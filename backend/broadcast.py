"""The answers that this controller produces, as other controllers may follow them.

Broadcast   one of them; nothing of it is written while it runs unless somebody rings
Leading     all of them: renews their locks and answers the bell, in one task
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from backend.answer import Queued
from backend.entries import Claim, End, Entry, Names, bell, for_others
from backend.follower import Flight, size_of
from backend.redis_link import PATIENCE_S, READ_S, RedisAway, RedisLink

LOCK_MS = 2_000  # a controller that died is replaced so much later
_RENEW_S = 0.5
_STREAM_MS = 10_000  # without a sign of life from its writer
LINGER_MS = 2_000  # an answer that ended stays so long, until it is in everybody's cache
_ENTRY_BYTES = 64 * 2**10
_ENTRIES = 20_000
# Only who holds the lock renews or frees it. ARGV: the claim, and for how many ms it is held on; 0 frees it.
HOLD = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""


class Broadcast:
    """Writes one flight into a stream, from the first ring of a follower on."""

    def __init__(self, link: RedisLink, names: Names, claim: Claim, flight: Flight[Any]) -> None:
        self.names = names
        self.claim = claim
        self.lost = False  # the lock is another's, or Redis is away: the flight goes on for its own followers
        self._link = link
        self._flight = flight
        self._at = 0
        self._told: Queued | None = None
        self._written = False
        self._publishing: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None

    def ring(self) -> None:
        """Somebody follows: begin to write."""
        if self._publishing is None:
            self._publishing = asyncio.create_task(self._publish())

    def deserted(self) -> None:
        """The last follower here has left: end the flight, unless there are others elsewhere."""
        if self._publishing is None or self.lost:
            self._flight.abandon()
        elif self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._until_unheard())

    async def end(self, end: End, error: Exception | None) -> None:
        """Tell the followers how it ended, and leave the lock."""
        if self._listening:
            self._listening.cancel()
        if self._publishing:
            await asyncio.wait([self._publishing])
        if self.lost or not self._link.up:
            return
        rest = list(self._rest())
        # Kept for a moment for who asks now, if it is whole, and small or already there.
        lasting = end == "done" and _is_whole(self._flight) and (self._written or len(rest) <= 1)
        try:
            if not (self._written or lasting):
                await hold(self._link, self.names, self.claim, 0)
                return
            for items in rest[:-1]:
                await self._write(Entry(self._at, items))
            last = rest[-1] if rest else []
            said = for_others(error) if error else None
            final = Entry(self._at, last, None, asdict(self._flight.trip), end, said)
            await self._write(final, LINGER_MS if lasting else 0)
        except RedisAway:
            self.lost = True

    async def _publish(self) -> None:
        """Write what comes until the flight is over. What comes during one entry goes with the next."""
        flight = self._flight
        try:
            while not (flight.over or self.lost):
                queued = flight.queued if flight.queued is not self._told else None
                items = next(self._rest(), [])
                if items or queued or not self._written:
                    self._told = flight.queued
                    await self._write(Entry(self._at, items, queued, asdict(flight.trip)))
                else:
                    await flight.news()
        except RedisAway:
            self.lost = True

    async def _write(self, entry: Entry, hold_ms: int | None = None) -> None:
        """Add an entry, and with the last one say how long the lock is to stay.

        Raises RedisAway, also when the stream is gone, which whoever takes over sees to.
        """
        stream = self.names.stream(self.claim)
        data: Any = {"e": entry.sealed(self.names.key)}
        with self._link.guard():
            async with asyncio.timeout(PATIENCE_S), self._link.client.pipeline(transaction=True) as pipe:
                pipe.xadd(stream, data, maxlen=_ENTRIES, approximate=True, nomkstream=self._written)
                pipe.pexpire(stream, LINGER_MS if entry.end else _STREAM_MS)
                if hold_ms is not None:
                    pipe.eval(HOLD, 1, self.names.lock, str(self.claim), hold_ms)
                added, *_ = await pipe.execute()
        if added is None:
            self.lost = True
            raise RedisAway
        self._written = True
        self._at += len(entry.items)

    def _rest(self) -> Iterator[list[Any]]:
        """What is not yet written, in pieces that one command carries well."""
        piece: list[Any] = []
        size = 0
        for item in self._flight.items.since(self._at):
            piece.append(item)
            size += size_of(item)
            if size >= _ENTRY_BYTES:
                yield piece
                piece, size = [], 0
        if piece:
            yield piece

    async def _until_unheard(self) -> None:
        """End the flight when nobody elsewhere has given a sign of life for a second."""
        while not (self._is_followed_here() or self._flight.over):
            try:
                with self._link.guard():
                    left_ms = await self._link.client.pttl(self.names.heard(self.claim))
            except RedisAway:
                left_ms = 0
            if left_ms > 0 and not self.lost:
                await asyncio.sleep(left_ms / 1_000)
            elif not self._is_followed_here():
                self._flight.abandon()

    def _is_followed_here(self) -> bool:
        return self._flight.followers > 0


class Leading:
    """Keeps the locks of this controller's broadcasts, and hears who rings."""

    def __init__(self, link: RedisLink, controller: str) -> None:
        self._link = link
        self._bell = bell(link.prefix, controller)
        self._broadcasts: dict[str, Broadcast] = {}
        self._round: asyncio.Task[None] | None = None

    def add(self, broadcast: Broadcast) -> None:
        """Begin to keep one's lock."""
        self._broadcasts[broadcast.claim.token] = broadcast
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._rounds())

    def remove(self, broadcast: Broadcast) -> None:
        """Leave one's lock alone."""
        self._broadcasts.pop(broadcast.claim.token, None)

    async def close(self) -> None:
        """End the task."""
        if self._round:
            self._round.cancel()
            await asyncio.gather(self._round, return_exceptions=True)

    async def _rounds(self) -> None:
        renewed = time.monotonic()
        while self._broadcasts:
            try:
                if time.monotonic() - renewed > _RENEW_S:
                    renewed = time.monotonic()
                    await self._renew()
                with self._link.guard():
                    rung: Any = await self._link.reader.blpop([self._bell], timeout=READ_S)
            except RedisAway:
                for broadcast in self._broadcasts.values():
                    broadcast.lost = True
                return
            if rung and (called := self._broadcasts.get(rung[1].decode())):
                called.ring()

    async def _renew(self) -> None:
        broadcasts = [one for one in self._broadcasts.values() if not one.lost]
        with self._link.guard():
            async with self._link.client.pipeline(transaction=False) as pipe:
                for one in broadcasts:
                    pipe.eval(HOLD, 1, one.names.lock, str(one.claim), LOCK_MS)
                    pipe.pexpire(one.names.stream(one.claim), _STREAM_MS)
                held = await pipe.execute()
        for one, still in zip(broadcasts, held[::2], strict=True):
            one.lost = not still


async def hold(link: RedisLink, names: Names, claim: Claim, for_ms: int) -> None:
    """Keep a lock that is ours for so long; 0 frees it. Raises RedisAway."""
    if not link.up:
        raise RedisAway
    with link.guard():
        async with asyncio.timeout(PATIENCE_S):
            await link.client.eval(HOLD, 1, names.lock, str(claim), for_ms)


def _is_whole(flight: Flight[Any]) -> bool:
    return bool(flight.items) and getattr(flight.items[-1], "is_whole", True)
