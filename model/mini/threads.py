"""Threads that share a layer's rows and sleep while they wait.

OpenBLAS's own threads spin while they wait for each other: on two busy cores they made the encoder ten times
slower. So it is told to use one thread, in this whole process, and rows are shared out here.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

FEWEST_ROWS = 32  # that are worth a thread


class Threads:
    """Do the same to several ranges of rows at once."""

    def __init__(self, count: int = 1) -> None:
        """`count` threads, the caller's among them."""
        threadpool_limits(1, user_api="blas")
        self.count = count
        self._others = ThreadPoolExecutor(max(1, count - 1), thread_name_prefix="mini")

    def shares(self, rows: int) -> list[slice]:
        """So many rows in as many ranges as there are threads, or fewer where they are few."""
        parts = max(1, min(self.count, rows // FEWEST_ROWS))
        edges = [rows * part // parts for part in range(parts + 1)]
        return [slice(start, end) for start, end in pairwise(edges)]

    def do(self, work: Callable[[slice], None], shares: list[slice]) -> None:
        """Do the work on all shares, and return when all of it is done. Raises what the work raises."""
        mine, *others = shares
        waiting = [self._others.submit(work, share) for share in others]
        try:
            work(mine)
        finally:
            for other in waiting:
                other.result()
