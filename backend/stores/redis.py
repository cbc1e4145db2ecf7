"""Answers in Redis or Valkey, for several controllers: ended by age, and by Redis' own bound on memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from backend.redis_link import RedisAway, RedisLink, RedisRefused
from backend.stores import StoreError

_MAX_BYTES = 2 * 2**20  # of one answer: a command with more could hold up the others on a slow network


class RedisStore:
    """A Store in Redis. Every method raises StoreError; while Redis is away they do nothing, at once."""

    def __init__(self, link: RedisLink, max_age_s: float) -> None:
        self._link = link
        self._max_age_ms = max(1, round(1_000 * max_age_s))

    async def start(self) -> None:
        """Nothing: the link is opened by whoever made it."""

    async def get(self, row: str) -> bytes | None:
        """Return what was put there."""
        if not self._link.up:
            return None
        with self._guard():
            found = await self._link.client.get(self._name(row))
        return found if isinstance(found, bytes) else None

    async def put(self, row: str, data: bytes) -> bool:
        """Keep it until it is too old; False when it is too large, or Redis known to be away."""
        if not self._link.up or len(data) > _MAX_BYTES:
            return False
        with self._guard():
            await self._link.client.set(self._name(row), data, px=self._max_age_ms)
        return True

    async def drop(self, row: str) -> None:
        """Forget it."""
        if self._link.up:
            with self._guard():
                await self._link.client.delete(self._name(row))

    async def close(self) -> None:
        """Nothing: the link is closed by whoever made it."""

    def _name(self, row: str) -> str:
        return f"{self._link.prefix}answer:{row}"

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            with self._link.guard():
                yield
        except RedisRefused:
            raise StoreError("Redis refuses to keep or to give answers. They are kept in memory.") from None
        except RedisAway:
            raise StoreError("Redis is away. Answers are kept in memory alone until it returns.") from None
