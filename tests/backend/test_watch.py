"""Looks at engines: what each answer means, how often they are made, and what a hung engine looks like."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import httpx
import pytest

from backend.breaker import BROKE, Breaker
from backend.instance import Instance
from backend.watch import Watch
from backend.work import Ask
from benchmarks import virtual_time

Answer = Callable[[httpx.Request], Awaitable[httpx.Response]]
MODELS = {"data": [{"id": "tiny", "meralion": {"capabilities": {"chat": {"supported": True}}}}]}


def now() -> float:
    return asyncio.get_running_loop().time()


class Upstream:
    """An engine's /v1/models, seen from the client: it answers as it is told, and counts."""

    def __init__(self) -> None:
        self.looks: list[float] = []
        self.answer: Answer = self.well

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.looks.append(now())
        return await self.answer(request)

    async def well(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=MODELS)

    async def refuses(self, request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    async def hangs(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(86_400)
        raise AssertionError

    async def vanishes(self, request: httpx.Request) -> httpx.Response:
        """As over a link that loses every packet: only the client's own patience ends it."""
        await asyncio.sleep(request.extensions["timeout"]["connect"] or 86_400)
        raise httpx.ConnectTimeout("no answer", request=request)

    def says(self, status: int, body: bytes = b"") -> Answer:
        async def answer(request: httpx.Request) -> httpx.Response:
            return httpx.Response(status, content=body)

        return answer


@asynccontextmanager
async def watched(upstream: Upstream, *, supervised: bool = False) -> AsyncIterator[Instance]:
    instance = Instance("one", "http://one", supervised=supervised, clock=now, breaker=Breaker(clock=now))
    async with httpx.AsyncClient(transport=httpx.MockTransport(upstream)) as client:
        task = asyncio.create_task(Watch(instance, client, 5.0, clock=now).run())
        try:
            yield instance
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def test_one_that_is_up_is_looked_at_now_and_then_and_tells_what_it_can_do() -> None:
    async def scene() -> None:
        upstream = Upstream()
        async with watched(upstream) as one:
            await asyncio.sleep(22)
            assert (one.state, upstream.looks) == ("up", [0, 5, 10, 15, 20])
            assert one.cards["tiny"]["capabilities"]["chat"]["supported"] is True

    virtual_time.run(scene())


def test_one_that_is_away_is_looked_at_with_pauses_that_double() -> None:
    async def scene() -> None:
        upstream = Upstream()
        upstream.answer = upstream.refuses
        async with watched(upstream) as one:
            await asyncio.sleep(23)
            assert (one.state, one.detail) == ("down", "The engine at one cannot be reached.")
            assert upstream.looks == [0, 0.5, *(1.5 + 2 * number for number in range(11))]
            upstream.answer = upstream.well
            await asyncio.sleep(2)
            assert one.state == "up"

    virtual_time.run(scene())


def test_one_behind_a_link_that_loses_all_is_up_soon_after_it_is_whole_again() -> None:
    async def scene() -> None:
        upstream = Upstream()
        upstream.answer = upstream.vanishes
        async with watched(upstream) as one:
            await asyncio.sleep(12)
            assert (one.state, one.detail) == ("down", "The engine at one does not respond.")
            upstream.answer = upstream.well
            await asyncio.sleep(4)
            assert one.state == "up"

    virtual_time.run(scene())


@pytest.mark.parametrize(
    ("status", "body", "state", "cards"),
    [
        (200, json.dumps(MODELS).encode(), "up", 1),
        (200, b"<html>", "up", 0),
        (200, b"[" * 100_000, "up", 0),
        (200, b'{"data": [7]}', "up", 0),
        (200, b'{"data": {"id": "tiny"}}', "up", 0),
        (200, b'{"data": [{"id": ["tiny"]}, {"id": "tiny", "meralion": ["x"]}]}', "up", 1),
        (200, b'{"data": [{"id": "tiny", "meralion": {"capabilities": ["chat"]}}]}', "up", 1),
        (200, b'{"data": [{"id": "\\ud800"}]}', "up", 0),
        (401, b"{}", "up", 0),
        (404, b"", "up", 0),
        (500, b"", "up", 0),
        (502, b"", "starting", 0),
        (503, b"", "starting", 0),
    ],
)
def test_any_answer_shows_that_it_is_there_but_that_it_is_not_ready(
    status: int, body: bytes, state: str, cards: int
) -> None:
    async def scene() -> None:
        upstream = Upstream()
        upstream.answer = upstream.says(status, body)
        async with watched(upstream) as one:
            await asyncio.sleep(1)
            assert (one.state, len(one.cards)) == (state, cards)

    virtual_time.run(scene())


@pytest.mark.parametrize("slowly", [False, True])
def test_a_list_without_an_end_is_not_read_to_its_end(slowly: bool) -> None:
    given = 0

    async def for_ever() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            await asyncio.sleep(1 if slowly else 0)
            given += 2**16
            yield bytes(2**16)

    async def endless(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=for_ever())

    async def scene() -> None:
        upstream = Upstream()
        upstream.answer = endless
        async with watched(upstream) as one:
            await asyncio.sleep(6)
            assert one.state == ("down" if slowly else "up")
            assert given < 2**22

    virtual_time.run(scene())


@pytest.mark.parametrize("supervised", [False, True])
def test_one_that_hangs_is_down_after_two_looks_unless_its_streams_go_on(supervised: bool) -> None:
    async def scene() -> None:
        upstream = Upstream()
        async with watched(upstream, supervised=supervised) as one:
            await asyncio.sleep(1)
            upstream.answer = upstream.hangs
            place = one.take(Ask("a"))
            for _ in range(30):
                await asyncio.sleep(1)
                place.produced(1)
            assert (one.state, one.unanswered) == ("up", 0)
            await asyncio.sleep(15)
            # One that is ours is started again, so worth waiting for.
            assert one.state == ("starting" if supervised else "down")
            assert one.detail == "The engine at one does not respond."
            assert one.unanswered == 2
            upstream.answer = upstream.well
            await asyncio.sleep(12)
            assert (one.state, one.unanswered) == ("up", 0)

    virtual_time.run(scene())


def test_a_busy_engine_may_miss_one_look() -> None:
    async def scene() -> None:
        upstream = Upstream()
        async with watched(upstream) as one:
            await asyncio.sleep(4)
            upstream.answer = upstream.hangs
            await asyncio.sleep(3)
            upstream.answer = upstream.well
            await asyncio.sleep(10)
            assert (one.state, one.unanswered) == ("up", 0)
            assert upstream.looks[:3] == [0, 5, 10]

    virtual_time.run(scene())


def test_one_in_doubt_is_looked_at_at_once_and_may_try_at_once() -> None:
    async def scene() -> None:
        upstream = Upstream()
        async with watched(upstream) as one:
            await asyncio.sleep(62)
            one.failed(BROKE)
            assert (one.state, one.breaker.state) == ("starting", "open")
            await asyncio.sleep(0.001)
            assert (one.state, one.breaker.state) == ("up", "half_open")
            assert upstream.looks[-1] == 62

    virtual_time.run(scene())


def test_what_a_look_found_is_dropped_when_it_is_not_true_any_more() -> None:
    async def scene() -> None:
        upstream = Upstream()
        async with watched(upstream) as one:
            await asyncio.sleep(12)

            async def breaks_meanwhile(request: httpx.Request) -> httpx.Response:
                one.suspect()
                upstream.answer = upstream.refuses
                return await upstream.well(request)

            upstream.answer = breaks_meanwhile
            await asyncio.sleep(4)
            assert one.state == "down"

    virtual_time.run(scene())


def test_one_that_comes_and_goes_is_not_stormed_with_looks() -> None:
    async def scene() -> None:
        upstream = Upstream()
        async with watched(upstream) as one:
            for _ in range(6_000):  # ten minutes in which every request breaks
                await asyncio.sleep(0.1)
                one.failed(BROKE)
            assert len(upstream.looks) < 150
            assert one.stats.opened < 30  # tries, which were all that visitors could have felt
            await asyncio.sleep(120)
            assert one.state == "up"
            assert max(later - earlier for earlier, later in pairwise(upstream.looks)) <= 10
            one.suspect()  # long steady: a doubt is looked into at once again
            await asyncio.sleep(0.001)
            assert one.state == "up"

    virtual_time.run(scene())


def test_after_a_whole_answer_a_doubt_is_looked_into_at_once() -> None:
    async def scene() -> None:
        upstream = Upstream()
        async with watched(upstream) as one:
            for _ in range(100):
                await asyncio.sleep(0.1)
                one.failed(BROKE)
                await asyncio.sleep(0.001)
                assert one.state == "up"
                one.succeeded()

    virtual_time.run(scene())


async def _looks_at_a_server_that_never_answers() -> tuple[str, bool]:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the client leaves
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    instance = Instance("hung", f"http://127.0.0.1:{port}")
    async with server, httpx.AsyncClient(trust_env=False) as client:
        watch = asyncio.create_task(Watch(instance, client, 0.2, timeout_s=0.1).run())
        changed = instance.changed()
        async with asyncio.timeout(10):
            await changed
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        return instance.state, instance.unanswered > 0


@pytest.mark.parametrize("trouble", [httpx.InvalidURL("no URL"), UnicodeError("no name"), RuntimeError("?")])
def test_a_look_that_cannot_be_made_does_not_end_the_watching(
    trouble: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(request: httpx.Request) -> httpx.Response:
        raise trouble

    async def scene() -> None:
        upstream = Upstream()
        upstream.answer = fails
        async with watched(upstream) as one:
            await asyncio.sleep(20)
            assert one.state == "down"
            assert one.detail == "The engine at one cannot be asked. Check its address in the list of models."
            upstream.answer = upstream.well
            await asyncio.sleep(5)
            assert one.state == "up"

    virtual_time.run(scene())
    assert [record.message for record in caplog.records].count("look failed") == 1


@pytest.mark.parametrize("address", ["http://a..b", "http://xn--a", "http://h/" + "a" * 70_000])
def test_an_address_that_only_looks_like_one_is_away(address: str) -> None:
    async def look() -> str:
        instance = Instance("odd", address)
        async with httpx.AsyncClient(trust_env=False) as client:
            watching = asyncio.create_task(Watch(instance, client, 0.2).run())
            async with asyncio.timeout(10):
                await instance.changed()
            assert not watching.done()
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        return instance.state

    assert asyncio.run(look()) == "down"


def test_a_server_that_accepts_and_never_answers_is_down() -> None:
    assert asyncio.run(_looks_at_a_server_that_never_answers()) == ("down", True)
