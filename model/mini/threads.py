"""Threads that share a layer's rows and sleep while they wait.

OpenBLAS's own threads spin while they wait for each other: on two busy cores they made the encoder ten times
slower. So it is told to use one thread, in this whole process, and rows are shared out here: in small shares,
so that a thread whose core is busy otherwise does fewer of them. Shares are as large however many threads
there are, so the numbers are the same to the last bit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]


@cache
def one_for_blas() -> None:
    """Have OpenBLAS use one thread, in this whole process; only the first call does anything.

    The loaded libraries are looked through with the loader's lock held, by Python code, which wants the GIL.
    A thread that loads a library meanwhile holds the GIL and wants the lock: neither ever goes on. So who
    loads models side by side calls this first, while there is one thread.
    """
    threadpool_limits(1, user_api="blas")


class Threads:
    """Do the same to several shares of rows at once."""

    def __init__(self, count: int = 1) -> None:
        """`count` threads, the caller's among them."""
        one_for_blas()
        self._count = count
        self._others = ThreadPoolExecutor(max(1, count - 1), thread_name_prefix="mini")

    def do(self, work: Callable[[slice], None], shares: Sequence[slice]) -> None:
        """Do the work on all shares, and return when all of it is done. Raises what the work raises."""
        left = deque(shares)

        def some() -> None:
            while left:
                try:
                    share = left.popleft()
                except IndexError:  # another thread was faster
                    return
                work(share)

        others = [self._others.submit(some) for _ in range(min(self._count, len(shares)) - 1)]
        try:
            some()
        finally:
            for other in others:
                if not other.cancel():  # it has begun
                    other.result()


def shares(rows: int, size: int) -> list[slice]:
    """So many rows in equal shares of at most `size`, an even number: two threads end together."""
    parts = 1 if rows <= size // 2 else 2 * -(-rows // (2 * size))
    edges = [rows * part // parts for part in range(parts + 1)]
    return [slice(start, end) for start, end in pairwise(edges)]
