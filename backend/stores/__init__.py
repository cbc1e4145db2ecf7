"""Where answers stay when memory forgets them: one SQLite file, or Redis. Both see sealed bytes only."""

from __future__ import annotations

from typing import Protocol


class StoreError(Exception):
    """A store could not do it; the message is a sentence for the log. No caller ever sees it."""


class Store(Protocol):
    """Keeps sealed answers by row id, bounded by itself. Every method raises StoreError."""

    async def start(self) -> None:
        """Open what there is to open, so that the first request need not wait for it."""

    async def get(self, row: str) -> bytes | None:
        """Return what was put there, unless it has grown old or made room for others."""

    async def put(self, row: str, data: bytes) -> bool:
        """Keep it, where what was used longest ago makes room; False when it was not taken."""

    async def drop(self, row: str) -> None:
        """Forget it."""

    async def close(self) -> None:
        """Let go of files and threads."""
