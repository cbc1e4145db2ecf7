"""A caller who leaves frees the engine's place at once, wherever the request is by then."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from tests.backend.carried import JOB, Asked, Fleet
from tests.backend.conftest import Start, question, row
from tests.backend.fake_engine import FakeEngine, recites, stalls_after

PATIENT = {"silence_timeout_s": 60.0, "first_byte_timeout_s": 60.0}
PATH = "/v1/chat/completions"


def test_leaving_in_the_middle_of_a_stream(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]), **PATIENT)
    engine.script = [stalls_after("one")]
    with client.stream("POST", PATH, json=question(stream=True)) as response:
        for line in response.iter_lines():
            if "one" in line:
                break
    assert engine.exchanges[0].left.wait(5)
    assert client.post(PATH, json=question()).status_code == 200


def test_leaving_before_the_first_word(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]), **PATIENT)
    for stream in (True, False):
        engine.script = [stalls_after()]
        _ask_and_hang_up(client, question(stream=stream), engine)
        assert engine.exchanges[-1].left.wait(5)
    assert client.post(PATH, json=question()).status_code == 200


def test_an_answer_that_was_left_is_not_kept(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]), **PATIENT)
    body = question(temperature=0, stream=True)
    engine.script = [stalls_after("one")]
    with client.stream("POST", PATH, json=body) as response:
        next(line for line in response.iter_lines() if "one" in line)
    assert engine.exchanges[0].left.wait(5)
    assert client.post(PATH, json=body).headers["x-meralion-cache"] == "miss"


def _ask_and_hang_up(client: httpx.Client, body: dict[str, object], engine: FakeEngine) -> None:
    """Send a request by hand, and close the connection once the engine has it."""
    before = len(engine.exchanges)
    data = json.dumps(body).encode()
    fields = f"host: x\r\ncontent-type: application/json\r\ncontent-length: {len(data)}"
    with socket.create_connection((client.base_url.host, client.base_url.port or 80)) as caller:
        caller.sendall(f"POST {PATH} HTTP/1.1\r\n{fields}\r\n\r\n".encode() + data)
        deadline = time.monotonic() + 5
        while len(engine.exchanges) == before and time.monotonic() < deadline:
            time.sleep(0.005)


FREED_S = 0.1  # what is asked for
HEDGED = {"hedge_first_s": 0.1, "hedge_silence_s": 0.1}
ALONE = {"hedge_first_s": 0.0, "hedge_silence_s": 0.0}


async def reached(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not happened():  # noqa: ASYNC110 - the engines are in other threads
            await asyncio.sleep(0.005)


async def leave(fleet: Fleet, asking: asyncio.Task[Any], busy: int = 0) -> None:
    """Leave in the middle of waiting for what comes next; no more than `busy` places are held at once."""
    left_at = time.monotonic()
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    assert sum(instance.busy for instance in fleet.instances) == busy
    assert fleet.pool.waiting == 0
    assert time.monotonic() - left_at < FREED_S


def carried(fleet: Fleet, main: Callable[[Asked], Coroutine[Any, Any, None]], job: Asked = JOB) -> None:
    """Run a test in a loop of its own, with nothing left over; the engines see it too."""

    async def run() -> None:
        async with fleet.line() as line:
            await main(dataclasses.replace(job, line=line))

    asyncio.run(run())
    for engine in fleet.engines:
        assert all(exchange.left.wait(1) for exchange in engine.exchanges)


@pytest.mark.parametrize("words", [(), ("one ", "two ")], ids=["before the first word", "in the middle"])
def test_leaving_while_it_waits_for_an_engine(engine: FakeEngine, words: tuple[str, ...]) -> None:
    engine.default = stalls_after(*words)
    fleet = Fleet(engine)

    async def main(job: Asked) -> None:
        asking = asyncio.create_task(fleet.items(job))
        await reached(lambda: len(engine.exchanges) == 1 and fleet.instances[0].stats.tokens == len(words))
        await leave(fleet, asking)

    carried(fleet, main)


def test_leaving_while_somebody_reads_slowly(engine: FakeEngine) -> None:
    engine.default = stalls_after("one ")
    fleet = Fleet(engine)

    async def main(job: Asked) -> None:
        batches = fleet.carry(job)
        await anext(batches)
        left_at = time.monotonic()
        await batches.aclose()
        assert (fleet.instances[0].busy, time.monotonic() - left_at < FREED_S) == (0, True)

    carried(fleet, main)


def test_leaving_the_queue(engine: FakeEngine) -> None:
    engine.default = stalls_after("one ")
    fleet = Fleet(engine)
    fleet.instances[0].places = 1

    async def main(job: Asked) -> None:
        first = asyncio.create_task(fleet.items(job))
        await reached(lambda: len(engine.exchanges) == 1)
        second = asyncio.create_task(fleet.items(job))
        await reached(lambda: fleet.pool.waiting == 1)
        await leave(fleet, second, busy=1)
        await leave(fleet, first)
        assert len(engine.exchanges) == 1

    carried(fleet, main)


def test_leaving_in_the_moment_in_which_a_place_comes_free(engine: FakeEngine) -> None:
    engine.default = stalls_after("one ")
    fleet = Fleet(engine)
    fleet.instances[0].places = 1

    async def main(job: Asked) -> None:
        first = asyncio.create_task(fleet.items(job))
        await reached(lambda: len(engine.exchanges) == 1)
        second = asyncio.create_task(fleet.items(job))
        await reached(lambda: fleet.pool.waiting == 1)
        first.cancel()
        await asyncio.sleep(0)  # the place is handed on, and the second has not woken up
        await leave(fleet, second)

    carried(fleet, main)


@pytest.mark.parametrize("words", [(), ("one ", "two ")], ids=["before the first word", "in the middle"])
def test_leaving_two_engines_at_once(
    engine: FakeEngine, second_engine: FakeEngine, words: tuple[str, ...]
) -> None:
    engine.default = second_engine.default = stalls_after(*words)
    fleet = Fleet(engine, second_engine, **HEDGED)

    async def main(job: Asked) -> None:
        asking = asyncio.create_task(fleet.items(job))
        await reached(lambda: len(engine.exchanges) == len(second_engine.exchanges) == 1)
        assert fleet.trip.hedged == 1
        await leave(fleet, asking)

    carried(fleet, main)


@pytest.mark.parametrize("at", [0, 3], ids=["before it repeats", "while it repeats"])
def test_leaving_while_the_answer_is_resumed(engine: FakeEngine, second_engine: FakeEngine, at: int) -> None:
    engine.default = recites(fault_at=10)
    second_engine.default = recites(fault_at=at, fault="stall")
    fleet = Fleet(engine, second_engine, **ALONE)
    fleet.instances[0].turn = -1

    async def main(job: Asked) -> None:
        asking = asyncio.create_task(fleet.items(job))
        await reached(lambda: fleet.instances[1].stats.tokens == at and len(second_engine.exchanges) == 1)
        assert fleet.trip.resumed == 1
        await leave(fleet, asking)

    carried(fleet, main)


def test_leaving_while_a_cut_answer_waits_for_a_place(engine: FakeEngine) -> None:
    engine.default = recites(fault_at=10)
    fleet = Fleet(engine)

    async def main(job: Asked) -> None:
        asking = asyncio.create_task(fleet.items(job))
        await reached(lambda: fleet.pool.waiting == 1)  # its only engine is in doubt
        await leave(fleet, asking)

    carried(fleet, main)
