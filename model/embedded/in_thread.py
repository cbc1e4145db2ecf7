"""Run a blocking iterator in a thread and read it from the event loop."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")

_POOL = ThreadPoolExecutor(max_workers=32, thread_name_prefix="model")


class _End:
    """No more items; with the error that ended them, if one did."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


async def from_thread(items: Iterator[Item]) -> AsyncGenerator[Item, None]:
    """The items as they come. Closing this iterator stops the thread at its next item.

    Raises:
        whatever the iterator raises.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Item | _End] = asyncio.Queue()
    left = threading.Event()

    def run() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if left.is_set():
                    break
                loop.call_soon_threadsafe(queue.put_nowait, item)
        except BaseException as caught:  # handed to the reader, whatever it is
            error = caught
        finally:
            if not loop.is_closed():
                loop.call_soon_threadsafe(queue.put_nowait, _End(error))

    _POOL.submit(run)
    try:
        while not isinstance(item := await queue.get(), _End):
            yield item
        if item.error:
            raise item.error
    finally:
        left.set()
