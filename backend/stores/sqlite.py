"""Answers in one SQLite file, read and written in a thread of its own, so that no disk holds up a stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from backend.stores import StoreError
from backend.stores.answer_file import AnswerFile

T = TypeVar("T")


class SqliteStore:
    """A Store in a file. Every method raises StoreError."""

    def __init__(self, file: AnswerFile) -> None:
        self._file = file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="answers")

    async def start(self) -> None:
        """Open or make the file."""
        await self._do(self._file.open)

    async def get(self, row: str) -> bytes | None:
        """Return what was put there; that it was used is noted after the answer is on its way."""
        data = await self._do(lambda: self._file.get(row))
        if data is not None:
            with contextlib.suppress(RuntimeError):  # closed meanwhile
                self._thread.submit(self._file.touch, row)
        return data

    async def put(self, row: str, data: bytes) -> bool:
        """Keep it, where what was used longest ago makes room; False when it is too large."""
        return await self._do(lambda: self._file.put(row, data))

    async def drop(self, row: str) -> None:
        """Forget it."""
        await self._do(lambda: self._file.drop(row))

    async def close(self) -> None:
        """Close the file and end the thread."""
        closing = self._thread.submit(self._file.close)
        self._thread.shutdown(wait=False)
        await asyncio.wrap_future(closing)

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            doing = asyncio.get_running_loop().run_in_executor(self._thread, work)
        except RuntimeError:
            raise StoreError("the answer file is closed") from None
        return await doing
