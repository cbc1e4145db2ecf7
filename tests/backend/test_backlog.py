"""Work that nobody waits for goes on whatever happens to a piece of it, and takes only so much room."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from backend.backlog import Backlog


def test_jobs_are_done_in_order_and_one_that_fails_stops_no_other() -> None:
    async def check() -> None:
        done: list[int] = []

        def job(number: int) -> Callable[[], Awaitable[None]]:
            async def work() -> None:
                if number == 1:
                    raise ValueError
                await asyncio.sleep(0)
                done.append(number)

            return work

        backlog = Backlog(max_jobs=10, max_bytes=100)
        assert all(backlog.add(1, job(number)) for number in range(4))
        await backlog.close(grace_s=10)
        assert backlog.add(1, job(4))  # it begins again
        await backlog.close(grace_s=10)
        assert done == [0, 2, 3, 4]

    asyncio.run(check())


def test_jobs_are_bounded_in_number_and_bytes_and_end_with_the_grace() -> None:
    async def check() -> None:
        go_on = asyncio.Event()

        async def wait() -> None:
            await go_on.wait()

        few = Backlog(max_jobs=3, max_bytes=100)
        assert [few.add(1, wait) for _ in range(5)] == [True] * 3 + [False] * 2
        small = Backlog(max_jobs=100, max_bytes=100)
        assert small.add(500, wait)  # one that is too large by itself is better done than never
        assert not small.add(1, wait)
        even = Backlog(max_jobs=100, max_bytes=100)
        assert [even.add(50, wait) for _ in range(3)] == [True, True, False]
        go_on.set()
        await even.close(grace_s=10)
        assert even.add(50, wait)
        go_on.clear()
        for backlog in (few, small, even):
            await backlog.close(grace_s=0.01)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(check())
