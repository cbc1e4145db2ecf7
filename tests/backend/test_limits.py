"""How often one caller may ask."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from backend import limits
from backend.errors import Busy
from backend.identity import Caller
from backend.limits import Limits
from backend.redis_link import RedisLink
from backend.settings import Settings
from tests.backend.conftest import Start, error_of, question, row
from tests.backend.fake_engine import FakeEngine
from tests.backend.redis_server import RedisServer, redis_server

SIGNED = Caller("visitor-a", "visitor", True, "visitor-a")
PLAIN = Caller("visitor-b", "visitor", False, "address-b")


class Clock:
    def __init__(self) -> None:
        self.now = 5_000.0

    def __call__(self) -> float:
        return self.now


def limited(link: RedisLink | None = None, **values: Any) -> tuple[Limits, Clock]:
    clock = Clock()
    return Limits(Settings(**values), link, clock), clock


async def taken(limit: Limits, caller: Caller, times: int) -> list[int]:
    """How long to wait by each of so many requests, 0 for those that were let through."""
    waits = []
    for _ in range(times):
        try:
            await limit.take(caller)
            waits.append(0)
        except Busy as busy:
            waits.append(int(busy.headers["Retry-After"]))
    return waits


def test_a_minute_s_worth_at_once_then_evenly() -> None:
    limit, clock = limited(visitor_requests_per_minute=6)
    assert asyncio.run(taken(limit, SIGNED, 8)) == [0] * 6 + [10, 10]
    clock.now += 9.5
    assert asyncio.run(taken(limit, SIGNED, 1)) == [1]
    clock.now += 0.5
    assert asyncio.run(taken(limit, SIGNED, 2)) == [0, 10]
    clock.now += 3_600
    assert asyncio.run(taken(limit, SIGNED, 7)) == [0] * 6 + [10]


def test_each_is_counted_alone_and_a_refusal_costs_nothing() -> None:
    limit, _ = limited(visitor_requests_per_minute=1)
    assert asyncio.run(taken(limit, SIGNED, 5)) == [0, 60, 60, 60, 60]
    assert asyncio.run(taken(limit, Caller("visitor-c", "visitor", True, "visitor-c"), 1)) == [0]


def test_others_have_a_limit_of_their_own_and_none_is_none() -> None:
    limit, _ = limited(visitor_requests_per_minute=0, requests_per_minute=2)
    assert asyncio.run(taken(limit, SIGNED, 500)) == [0] * 500
    renamed = [Caller(f"visitor-{number}", "visitor", False, "address-b") for number in range(3)]
    waits = [asyncio.run(taken(limit, caller, 1))[0] for caller in renamed]
    assert waits == [0, 0, 30]  # a new name is no new caller


def test_no_more_callers_are_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MAX_CALLERS", 100)
    limit, _ = limited(requests_per_minute=1)
    callers = [Caller("", "anonymous", False, f"address-{number}") for number in range(500)]
    for caller in callers:
        asyncio.run(taken(limit, caller, 1))
    assert len(limit._full_at) == 100
    assert asyncio.run(taken(limit, callers[-1], 1)) == [60]


def test_what_costs_is_counted_and_the_rest_is_not(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]), requests_per_minute=3)
    assert {client.get("/v1/models").status_code for _ in range(10)} == {200}
    assert client.post("/v1/chat/completions", json=question()).status_code == 200
    assert client.post("/v1/files").status_code == 415
    assert client.post("/v1/audio/speech").status_code == 415
    response = client.post("/v1/chat/completions", json=question())
    error = error_of(response, 429)
    assert (error["code"], error["type"]) == ("rate_limited", "rate_limit_error")
    assert 15 <= int(response.headers["retry-after"]) <= 20
    assert client.get("/v1/files").status_code == 200


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


def test_controllers_with_one_redis_count_together(server: RedisServer) -> None:
    async def main() -> None:
        links = [RedisLink(server.secret_url, "test:") for _ in range(2)]
        one, other = (limited(link, visitor_requests_per_minute=4)[0] for link in links)
        assert await taken(one, SIGNED, 3) == [0] * 3
        assert await taken(other, SIGNED, 2) == [0, 15]
        assert await taken(one, SIGNED, 1) == [15]
        names = await links[0].client.keys("*")
        assert names == [b"test:rate:visitor-a"]
        assert 0 < await links[0].client.pttl(names[0]) <= 60_000
        for link in links:
            await link.close()

    asyncio.run(main())


def test_without_its_redis_each_counts_alone(server: RedisServer) -> None:
    async def main() -> None:
        link = RedisLink(server.secret_url, "test:")
        limit, _ = limited(link, visitor_requests_per_minute=2)
        assert await taken(limit, SIGNED, 2) == [0, 0]
        server.kill()
        assert await taken(limit, SIGNED, 3) == [0, 0, 30]
        await link.close()

    asyncio.run(main())
