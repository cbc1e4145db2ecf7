"""An engine that goes away under many requests and comes back: they wait, and do not come back as a herd."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

import httpx

from backend.answer import Queued
from backend.balancer import Instance, Pool
from backend.failover import carry
from backend.job import Trip
from backend.settings import Settings
from backend.upstream import Line
from backend.watch import Watch
from backend.work import Ask, Work
from tests.backend.carried import Asked, words
from tests.backend.fake_engine import Exchange, FakeEngine, says

PLACES, REQUESTS, SLOW_START_S = 8, 24, 2.0


class Counted:
    """A behaviour that notes how many are answered at once, and when."""

    def __init__(self) -> None:
        self.at_once = 0
        self.seen: list[tuple[float, int]] = []

    async def __call__(self, exchange: Exchange) -> None:
        self.at_once += 1
        self.seen.append((time.monotonic(), self.at_once))
        try:
            await says("Hello", " world", gap_s=0.05)(exchange)
        finally:
            self.at_once -= 1


@asynccontextmanager
async def watched(instance: Instance) -> AsyncGenerator[None]:
    async with httpx.AsyncClient(trust_env=False) as client:
        watch = asyncio.create_task(Watch(instance, client, 0.5, timeout_s=2.0).run())
        while instance.state != "up":
            await instance.changed()
        yield
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


def test_requests_wait_while_no_engine_is_there_and_return_without_a_herd(engine: FakeEngine) -> None:
    counted = Counted()
    engine.default = counted
    settings = Settings(queue_timeout_s=30.0)
    places: list[list[int]] = [[] for _ in range(REQUESTS)]

    async def visit(number: int, pool: Pool, line: Line) -> str:
        job = Asked(line, ask=Ask(f"visitor {number}", Work(tokens=20)))
        said = []
        async with aclosing(carry(pool, job, Trip(), settings)) as batches:
            async for batch in batches:
                places[number] += [item.position for item in batch if isinstance(item, Queued)]
                said += batch
        return words(said)

    async def scene() -> tuple[list[str], float]:
        instance = Instance("one", engine.url, places=PLACES, slow_start_s=SLOW_START_S)
        pool, line = Pool("Tiny", [instance], settings), Line(settings)
        async with watched(instance):
            engine.close()
            visits = [asyncio.create_task(visit(number, pool, line)) for number in range(REQUESTS)]
            while pool.waiting < REQUESTS:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            opened_at = time.monotonic()
            engine.open()
            answers = await asyncio.gather(*visits)
        await line.close()
        assert (instance.busy, instance.outstanding, pool.waiting) == (0, 0.0, 0)
        return answers, opened_at

    answers, opened_at = asyncio.run(scene())
    assert answers == ["Hello world"] * REQUESTS
    for when, at_once in counted.seen:
        # One more: the engine may hear of the next request before it has put the last one away.
        assert at_once <= 2 + (PLACES - 1) * (when - opened_at) / SLOW_START_S
    assert counted.seen[0][1] == 1
    assert all(positions and positions == sorted(positions, reverse=True) for positions in places)
