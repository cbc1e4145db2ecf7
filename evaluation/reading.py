"""Many at once: items read in a thread, a few ahead of those that are worked on, so that memory stays
bounded.

The thread is a daemon: a hub that hangs does not keep Ctrl-C from ending the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

from evaluation.errors import EvaluationError

Item = TypeVar("Item")


async def for_each(items: Iterable[Item], at_once: int, work: Callable[[Item], Awaitable[None]]) -> None:
    """Do the work for every item. The first error ends all work, and is raised."""
    reading = _Reading(items, at_once)

    async def one_after_the_other() -> None:
        while (item := await reading.next()) is not None:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(one_after_the_other())
    except BaseExceptionGroup as failed:
        raise _first(failed) from None
    finally:
        reading.stop()


class _Reading(Generic[Item]):
    """An iterable's items, for any number of tasks of the loop that made this."""

    def __init__(self, items: Iterable[Item], ahead: int) -> None:
        """At most `ahead` items wait at a time."""
        self._items = items
        self._loop = asyncio.get_running_loop()
        self._found: asyncio.Queue[Item | None] = asyncio.Queue()
        self._room = threading.Semaphore(ahead)
        self._stopped = False
        self._failed: BaseException | None = None
        threading.Thread(target=self._read, name="examples", daemon=True).start()

    async def next(self) -> Item | None:
        """The next item; None at the end. Raises what reading raised."""
        item = await self._found.get()
        if item is not None:
            self._room.release()
            return item
        self._found.put_nowait(None)  # the end is for every task
        if self._failed:
            raise self._failed
        return None

    def stop(self) -> None:
        """Read no further."""
        self._stopped = True
        self._room.release()

    def _read(self) -> None:
        try:
            for item in self._items:
                self._room.acquire()
                if self._stopped:
                    return
                self._tell(item)
        except BaseException as error:
            self._failed = error
        finally:
            self._tell(None)

    def _tell(self, item: Item | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits any more
            self._loop.call_soon_threadsafe(self._found.put_nowait, item)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The sentence for a person, where several tasks failed at once."""
    flat: list[BaseException] = []
    for error in group.exceptions:
        flat.append(_first(error) if isinstance(error, BaseExceptionGroup) else error)
    return next((error for error in flat if isinstance(error, EvaluationError)), flat[0])
