"""An answer that another controller produces, read from its stream."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal

from backend.answer import Queued
from backend.entries import Claim, End, Entry, Names, bell
from backend.errors import ControllerError
from backend.follower import Flight
from backend.redis_link import READ_S, RedisAway, RedisLink

_HEARD_MS = 1_000  # a producer that no one here follows any more learns it so much later
_SIGN_S = 0.3
_BELL_MS = 5_000
_ENTRIES = 16  # in one read

Row = tuple[bytes, dict[bytes, bytes]]


class Following:
    """Yields what is new of one stream to a flight, and says in `end` how it ended.

    Besides the ends that its writer gave it: "gone" also when the lock is no longer the writer's, "away" when
    Redis is, or when the stream cannot be read.
    """

    def __init__(self, link: RedisLink, names: Names, claim: Claim, flight: Flight[Any]) -> None:
        self.claim = claim
        self.end: End | Literal["away"] = ""
        self.error: ControllerError | None = None
        self._link = link
        self._names = names
        self._flight = flight
        self._have = len(flight.items)
        self._last = b""
        self._signed = 0.0

    async def batches(self) -> AsyncGenerator[list[Any]]:
        """Follow to the end of the stream."""
        while not (self.end or self._flight.over):
            try:
                rows, is_held = await self._read()
            except RedisAway:
                self.end = "away"
                return
            if batch := self._taken(rows):
                yield batch
            elif not rows and not is_held:
                self.end = "gone"

    async def rest(self) -> tuple[bool, list[Any]]:
        """Take the stream from its writer: return whether it was there, and what had not been read of it.

        A writer that only slept finds no stream when it wakes, and makes no new one. Raises RedisAway.
        """
        stream = self._names.stream(self.claim)
        self.end = ""
        with self._link.guard():
            async with self._link.client.pipeline(transaction=True) as pipe:
                pipe.xrange(stream, min=b"(" + self._last if self._last else "-")
                pipe.delete(stream)
                rows, was_there = await pipe.execute()
        return bool(was_there), self._taken(rows)

    async def _read(self) -> tuple[Sequence[Row], bool]:
        """Give a sign of life, wait a moment for entries, and see whether the writer still has the lock."""
        stream = self._names.stream(self.claim)
        with self._link.guard():
            async with self._link.reader.pipeline(transaction=False) as pipe:
                if time.monotonic() - self._signed > _SIGN_S:
                    self._signed = time.monotonic()
                    self._sign(pipe)
                pipe.xread({stream: self._last or b"0"}, count=_ENTRIES, block=int(1_000 * READ_S))
                pipe.get(self._names.lock)
                *_, read, holder = await pipe.execute()
        rows: Sequence[Row] = read[0][1] if read else ()
        return rows, holder == str(self.claim).encode()

    def _sign(self, pipe: Any) -> None:
        pipe.set(self._names.heard(self.claim), b"", px=_HEARD_MS)
        if not self._last:  # until something comes, as a ring may be lost with whoever heard it
            at = bell(self._link.prefix, self.claim.controller)
            pipe.rpush(at, self.claim.token)
            pipe.pexpire(at, _BELL_MS)

    def _taken(self, rows: Sequence[Row]) -> list[Any]:
        """Return what is new in the entries, each item once."""
        batch: list[Any | Queued] = []
        for self._last, fields in rows:
            entry = Entry.unsealed(self._names.key, fields.get(b"e", b""))
            if entry is None or entry.at > self._have:
                self.end = "away"
                break
            new = entry.items[self._have - entry.at :]
            self._have += len(new)
            batch += new
            if entry.queued:
                batch.append(entry.queued)
            vars(self._flight.trip).update(entry.trip)
            if entry.end:
                self.end, self.error = entry.end, entry.error
                break
        return batch
