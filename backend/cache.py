"""Finished answers, replayed to who asks the same again: in memory, and behind it in a store that lasts.

Memory is bounded in bytes and age, and the least recently used go first. The store (stores/) gets sealed
bytes in the background and is asked with little patience: nothing that happens to it fails or delays a
request.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from backend import logs
from backend.answer import Done, Head, Heard, Token
from backend.backlog import Backlog
from backend.body import off_loop
from backend.seal import Item, decode, encode, row_id, seal, unseal
from backend.stores import Store, StoreError

_OVERHEAD = 400  # bytes an entry costs besides its text; a piece costs a quarter of that
_PATIENCE_S = 0.3  # for the store, which knows the answer in a few milliseconds or is in trouble
_REST_S = 2.0  # so long is a store not asked that was too slow
_SKEW_S = 300.0  # a later time than this from now was written by a clock that was wrong
_WAITING = (256, 32 * 2**20)  # answers, and bytes of them, that the store has yet to take
_GRACE_S = 1.0  # for these at the end
_KEPT_AT = struct.Struct(">d")  # seconds since 1970, sealed before the items


@dataclass
class CacheStats:
    """What the cache has done since the start."""

    hits: int = 0
    misses: int = 0
    stored: int = 0
    written: int = 0  # answers that the store has taken
    dropped: int = 0  # answers that it has not taken: in trouble, away, too slow, or they were too large
    store_errors: int = 0


@dataclass(frozen=True)
class _Entry:
    items: tuple[Item, ...]
    size: int
    kept_at: float


class AnswerCache:
    """Answers by the key of their request. Ages are by the wall clock, which restarts and machines share."""

    def __init__(
        self,
        max_bytes: int,
        max_age_s: float,
        store: Store | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.stats = CacheStats()
        self.held_bytes = 0
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._store = store
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._backlog = Backlog(*_WAITING)
        self._store_rests_until = 0.0
        self._reading = _Health("read")
        self._writing = _Health("write")  # apart: what is on a full disk can still be read

    async def start(self) -> None:
        """Open the store, so that no request waits for that; one that cannot be opened is told in the log."""
        if self._store is not None:
            self._backlog.add(0, self._open)

    def peek(self, key: str) -> tuple[Item, ...] | None:
        """Return a finished answer that is in memory, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if not self._is_fresh(entry.kept_at):
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        self.stats.hits += 1
        return entry.items

    async def get(self, key: str) -> tuple[Item, ...] | None:
        """Return a finished answer from memory or the store, or None."""
        items = self.peek(key)
        if items is not None:
            return items
        entry = await self._fetch(key)
        items = self.peek(key)  # the store may have taken so long that the answer was given meanwhile
        if items is not None:
            return items
        if entry is None:
            self.stats.misses += 1
            return None
        self._keep(key, entry)
        self.stats.hits += 1
        return entry.items

    def put(self, key: str, items: Sequence[Item]) -> None:
        """Keep an answer if it came to its end; one that failed or was cut is never kept.

        A reply that was passed through must have ended when this is called.
        """
        if not _is_whole(items):
            return
        entry = _Entry(tuple(items), _weight(items), self._clock())
        if entry.size > self._max_bytes:
            return
        self._keep(key, entry)
        self.stats.stored += 1
        if self._store is not None and not self._backlog.add(entry.size, lambda: self._write(key, entry)):
            self.stats.dropped += 1

    async def close(self) -> None:
        """Let the store take what it can in a moment, and close it."""
        store = self._store
        if store is None:
            return
        await self._backlog.close(_GRACE_S)
        self._store = None
        try:
            async with asyncio.timeout(_GRACE_S):
                await store.close()
        except (TimeoutError, StoreError) as error:
            self._failed(self._writing, str(error) or "it did not close in time")

    def _keep(self, key: str, entry: _Entry) -> None:
        if key in self._entries:
            self._drop(key)
        self._entries[key] = entry
        self.held_bytes += entry.size
        while self.held_bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: str) -> None:
        self.held_bytes -= self._entries.pop(key).size

    def _is_fresh(self, kept_at: float) -> bool:
        return -_SKEW_S <= self._clock() - kept_at <= self._max_age_s

    async def _fetch(self, key: str) -> _Entry | None:
        store = self._store
        if store is None or time.monotonic() < self._store_rests_until:
            return None
        row = row_id(key)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                data = await store.get(row)
                entry = await off_loop(len(data), _opened, key, data) if data is not None else None
        except TimeoutError:
            self._store_rests_until = time.monotonic() + _REST_S
            self._failed(self._reading, "it did not answer in time")
            return None
        except StoreError as error:
            self._failed(self._reading, str(error))
            return None
        self._reading.worked()
        if entry is None or not self._is_fresh(entry.kept_at) or entry.size > self._max_bytes:
            if data is not None:
                self._backlog.add(0, lambda: self._forget(row))
            return None
        return entry

    async def _open(self) -> None:
        if self._store is not None:
            await self._try(self._store.start())

    async def _write(self, key: str, entry: _Entry) -> None:
        if self._store is not None:
            sealed = await off_loop(entry.size, _sealed, key, entry)
            if await self._try(self._store.put(row_id(key), sealed)):
                self.stats.written += 1
            else:
                self.stats.dropped += 1

    async def _forget(self, row: str) -> None:
        if self._store is not None:
            await self._try(self._store.drop(row))

    async def _try(self, work: Awaitable[bool | None]) -> bool:
        """Return whether it was done; one that was declined says nothing about the store."""
        try:
            done = await work
        except StoreError as error:
            self._failed(self._writing, str(error))
            return False
        if done is False:
            return False
        self._writing.worked()
        return True

    def _failed(self, health: _Health, reason: str) -> None:
        self.stats.store_errors += 1
        health.failed(reason)


class _Health:
    """Tells the log once when something begins to fail, and once when it works again."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._is_well = True

    def failed(self, reason: str) -> None:
        if self._is_well:
            logs.event("answer store fails", level=logging.WARNING, state=self._what, reason=reason)
        self._is_well = False

    def worked(self) -> None:
        if not self._is_well:
            logs.event("answer store works again", state=self._what)
        self._is_well = True


def _is_whole(items: Sequence[Item]) -> bool:
    last = items[-1] if items else None
    return isinstance(last, bytes) or (isinstance(last, Done) and last.is_whole)


def _weight(items: Sequence[Item]) -> int:
    return _OVERHEAD + sum(map(_size, items))


def _size(item: Item) -> int:
    match item:
        case bytes():
            length = len(item)
        case Done():
            length = 0
        case Head(text) | Heard(text) | Token(text):
            length = len(text.encode("utf-8", "surrogatepass"))
    return _OVERHEAD // 4 + length


def _sealed(key: str, entry: _Entry) -> bytes:
    return seal(key, _KEPT_AT.pack(entry.kept_at) + encode(entry.items))


def _opened(key: str, data: bytes) -> _Entry | None:
    plain = unseal(key, data)
    if plain is None or len(plain) < _KEPT_AT.size:
        return None
    items = decode(plain[_KEPT_AT.size :])
    if items is None or not _is_whole(items):
        return None
    return _Entry(tuple(items), _weight(items), *_KEPT_AT.unpack_from(plain))
