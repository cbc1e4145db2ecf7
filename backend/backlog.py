"""Work that nobody waits for, piece after piece: bounded, so that a slow disk or network takes no memory."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from backend import logs

_Job = Callable[[], Awaitable[None]]


class Backlog:
    """Does jobs in order, in a task that lives while there are any."""

    def __init__(self, max_jobs: int, max_bytes: int) -> None:
        self._max_jobs = max_jobs
        self._max_bytes = max_bytes
        self._jobs: deque[tuple[int, _Job]] = deque()
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None

    def add(self, size: int, job: _Job) -> bool:
        """Take a job that holds `size` bytes; False, and nothing is done, when too much is waiting."""
        if len(self._jobs) >= self._max_jobs or (self._jobs and self._bytes + size > self._max_bytes):
            return False
        self._jobs.append((size, job))
        self._bytes += size
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        return True

    async def close(self, grace_s: float) -> None:
        """Finish what can be finished in time; the rest is dropped."""
        if self._task is None:
            return
        await asyncio.wait({self._task}, timeout=grace_s)
        self._jobs.clear()
        self._bytes = 0
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _work(self) -> None:
        while self._jobs:
            size, job = self._jobs[0]
            try:
                await job()
            except Exception as error:
                logs.event("background work failed", level=logging.ERROR, reason=logs.where(error))
            self._bytes -= size
            self._jobs.popleft()
