"""Group 8 of what the demo must survive: everything that engines are known to do."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.backend.asking import until
from tests.backend.conftest import Start, question, row, streamed, text_of
from tests.backend.fake_engine import (
    Behaviour,
    Exchange,
    FakeEngine,
    breaks_after,
    chunk,
    recital,
    recites,
    refuses,
    sends,
    stalls_after,
)

QUESTION = "What is said?"
WORDS = recital(QUESTION)
WHOLE = "".join(WORDS)


def event(value: Any) -> bytes:
    return f"data: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}\n\n".encode()


def told(*words: str, end: tuple[Any, ...] = (chunk({}, "stop"), "[DONE]")) -> bytes:
    return b"".join(event(item) for item in (*(chunk({"content": word}) for word in words), *end))


def resets_after(*words: str) -> Behaviour:
    """Words, then a TCP reset."""

    async def behave(exchange: Exchange) -> None:
        await exchange.head()
        for word in words:
            await exchange.token(word)
        await asyncio.sleep(0.02)
        line: socket.socket = exchange.writer.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        exchange.writer.transport.abort()

    return behave


def drips(data: bytes) -> Behaviour:
    """A few bytes at a time."""
    return sends(*(data[at : at + 40] for at in range(0, len(data), 40)))


def asks_for_a_pause(exchange: Exchange) -> Any:
    exchange.writer.write(b"HTTP/1.1 429 X\r\nretry-after: 20\r\ncontent-length: 2\r\n\r\n{}")
    return exchange.writer.drain()


FAULTS: dict[str, Behaviour] = {
    "refused before a word": breaks_after(),
    "reset": resets_after(*WORDS[:10]),
    "500": refuses(500),
    "429 with Retry-After": asks_for_a_pause,
    "hang": stalls_after(),
    "stall": stalls_after(*WORDS[:10]),
    "cut": breaks_after(*WORDS[:10]),
    "malformed line": sends(told(*WORDS[:10], end=('{"choices": [',)), told(*WORDS[11:])),
    "missing [DONE]": sends(told(*WORDS, end=(chunk({}, "stop"),))),
    "missing [DONE] and finish reason": sends(told(*WORDS, end=())),
    "[DONE] without finish reason": sends(told(*WORDS[:10], end=("[DONE]",))),
    "duplicate end": sends(told(*WORDS), told(end=(chunk({}, "stop"), "[DONE]", "[DONE]"))),
    "wrong content type": sends(b"<html>It works!</html>", content_type="text/html"),
    "JSON in place of a stream": sends(b'{"choices": []}', content_type="application/json"),
    "huge event": sends(told(*WORDS[:10], end=()), b"data: " + b"x" * 3 * 2**20),
    "huge chunk": sends(told(*WORDS)),
    "slow drip": drips(told(*WORDS)),
    "error in the stream": sends(told(*WORDS[:10], end=({"error": {"message": "boom", "code": 500}},))),
    "model not loaded": refuses(503, "The model is loading."),
    "wrong model name": refuses(404, "The model does not exist.", "model_not_found"),
    "wrong key": refuses(401, "Incorrect API key provided."),
}


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[FakeEngine, FakeEngine]]:
    engines = FakeEngine("tiny"), FakeEngine("tiny")
    yield engines
    for engine in engines:
        engine.shut_down()


@pytest.mark.parametrize("fault", FAULTS)
def test_8_one_engine_that_fails(start: Start, pair: tuple[FakeEngine, FakeEngine], fault: str) -> None:
    """Greedy answers are whole and end once, whatever the first of two engines does to all of them."""
    faulty, sound = pair
    faulty.default, sound.default = FAULTS[fault], recites()
    client = start(row([faulty.url, sound.url]), hedge_first_s=0.3, hedge_silence_s=0.3, cache_store="none")
    # A question that breaks the only engine that is up twice is asked no more: it may be the cause.
    until(lambda: all(one["state"] == "up" for one in client.get("/v1/status").json()["instances"]))
    before = len(faulty.exchanges)
    headers = {"cache-control": "no-cache"}
    while len(faulty.exchanges) == before:
        events = streamed(client, question(QUESTION, temperature=0), headers=headers)
        assert text_of(events) == WHOLE
        ends = [one["choices"][0]["finish_reason"] for one in events[:-1] if one["choices"]]
        assert [end for end in ends if end] == ["stop"]
        assert events[-1] == "[DONE]"


def test_8_utf_8_split_across_chunks(start: Start, engine: FakeEngine) -> None:
    data = told("鸡饭 🍚", " நன்றி")
    engine.default = sends(*(data[at : at + 5] for at in range(0, len(data), 5)))
    client = start(row([engine.url]), silence_timeout_s=5.0)
    assert text_of(streamed(client, question())) == "鸡饭 🍚 நன்றி"


def test_8_clock_jump(start: Start, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time-outs, rests and the queue go by a clock that nobody sets."""
    engine.default = recites(gap_s=0.01)
    client = start(row([engine.url]))
    assert text_of(streamed(client, question(QUESTION))) == WHOLE
    now = time.time()
    for jump_s in (86_400.0, -86_400.0):
        monkeypatch.setattr(time, "time", lambda jump_s=jump_s: now + jump_s)
        assert text_of(streamed(client, question(QUESTION))) == WHOLE


def whole(client: httpx.Client, text: str) -> bool:
    """Whether a greedy answer came as it should: every word once, in order, with its end."""
    events = streamed(client, question(text, temperature=0))
    return text_of(events) == "".join(recital(text)) and events[-1] == "[DONE]"


def under_load(client: httpx.Client, strikes: Callable[[], None], streams: int = 12) -> list[bool]:
    """Strike while streams run."""
    with ThreadPoolExecutor(streams) as pool:
        asked = [pool.submit(whole, client, f"What is said in clip {number}?") for number in range(streams)]
        time.sleep(0.2)  # of the 0.6 s that they take
        strikes()
        return [one.result() for one in asked]


@pytest.fixture
def three() -> Iterator[list[FakeEngine]]:
    engines = [FakeEngine("tiny") for _ in range(3)]
    for engine in engines:
        engine.default = recites(gap_s=0.03)
    yield engines
    for engine in engines:
        engine.shut_down()


def test_8_one_of_n_dying_under_load(start: Start, three: list[FakeEngine]) -> None:
    client = start(row([engine.url for engine in three]))
    assert all(under_load(client, three[0].die))


def test_8_all_dying_and_coming_back(start: Start, three: list[FakeEngine]) -> None:
    """Who is cut waits in the queue; when the engines return, nobody is lost, and no herd comes."""
    client = start(row([engine.url for engine in three]), slow_start_s=0.5)

    def strike() -> None:
        for engine in three:
            engine.die()
        time.sleep(0.5)
        for engine in three:
            engine.exchanges.clear()
            engine.open()

    assert all(under_load(client, strike))


def test_8_flapping(start: Start, three: list[FakeEngine]) -> None:
    client = start(row([engine.url for engine in three]), retries=8)

    def strike() -> None:
        for _ in range(3):
            three[0].die()
            time.sleep(0.2)
            three[0].open()
            time.sleep(0.3)

    with ThreadPoolExecutor(2) as pool:
        second = pool.submit(under_load, client, lambda: None)
        assert all(under_load(client, strike))
        assert all(second.result())


def test_8_rolling_restart_with_drain(start: Start, three: list[FakeEngine], tmp_path: Path) -> None:
    """One after the other leaves the registry, ends its answers, is started anew and comes back."""
    urls = [engine.url for engine in three]
    client = start(row(urls), reload_interval_s=0.05)
    stop = threading.Event()

    def keep_asking(number: int) -> bool:
        asked = 0
        while not stop.is_set():
            assert whole(client, f"What does caller {number} ask, {asked}?")
            asked += 1
        return asked > 0

    def instances() -> list[str]:
        listed: list[str] = client.get("/v1/status").json()["models"][0]["instances"]
        return listed

    def listed(wanted: list[str]) -> None:
        models = tmp_path / "models.new"
        models.write_text(row(wanted))
        models.replace(tmp_path / "models.toml")
        deadline = time.monotonic() + 5
        while len(instances()) != len(wanted):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    with ThreadPoolExecutor(6) as pool:
        asking = [pool.submit(keep_asking, number) for number in range(6)]
        for engine in three:
            listed([url for url in urls if url != engine.url])
            time.sleep(0.8)  # longer than an answer takes
            assert not any(one.writer.transport.is_closing() for one in engine.exchanges[-3:])
            engine.die()
            engine.open()
            listed(urls)
        stop.set()
        assert all(one.result() for one in asking)


def test_8_one_slow_replica(start: Start, three: list[FakeEngine]) -> None:
    """It answers, at a tenth of the others' pace: its answers come, and it is not taken for dead."""
    three[0].default = recites(gap_s=0.1)
    client = start(row([engine.url for engine in three]))
    assert all(under_load(client, lambda: None))
    assert client.get("/healthz").json()["status"] == "ok"
