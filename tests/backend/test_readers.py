"""What callers get besides words, and those who take nothing of it."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from openai import OpenAI

from backend.protocol import Protocol
from backend.routes import parts
from tests.backend.conftest import OTHER, VISITOR, Start, error_of, question, row, streamed, text_of
from tests.backend.fake_engine import Behaviour, Exchange, FakeEngine, breaks_after, says, sends
from tests.model import clips

PATH = "/v1/chat/completions"
MUCH = b"\xff\xfb" * 2**20


def after(seconds: float, then: Behaviour) -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        await asyncio.sleep(seconds)
        await then(exchange)

    return behave


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(parts, "COMMENT_S", 0.1)
    monkeypatch.setattr(Protocol, "reader_s", 0.3)
    yield


def lines_of(client: httpx.Client, body: dict[str, Any]) -> list[str]:
    with client.stream("POST", PATH, json={**body, "stream": True}) as response:
        assert response.status_code == 200
        return list(response.iter_lines())


@pytest.mark.usefixtures("quick")
def test_silence_is_broken_by_comments(client: httpx.Client, engine: FakeEngine) -> None:
    engine.default = after(0.5, says("Well", " then", gap_s=0.3))
    lines = lines_of(client, question())
    said = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert text_of(said) == "Well then"
    first = next(at for at, line in enumerate(lines) if '"Well"' in line)
    assert lines[:first].count(": still here") >= 2
    assert lines[first:].count(": still here") >= 1


@pytest.mark.usefixtures("quick")
def test_an_error_after_a_comment_is_told_in_the_stream(start: Start, engine: FakeEngine) -> None:
    engine.default = after(0.4, breaks_after())
    lines = lines_of(start(row([engine.url]), retries=0), question())
    assert json.loads(lines[-2].removeprefix("data: "))["error"]["code"] == "upstream_broke"
    assert "data: [DONE]" not in lines


def test_who_waits_can_be_an_openai_client(start: Start, engine: FakeEngine) -> None:
    """The place in the queue comes in a chunk with a choice, as programs expect of every chunk."""
    client = start(row([engine.url], more="places = 1\n"))
    going = threading.Event()

    async def held(exchange: Exchange) -> None:
        await asyncio.to_thread(going.wait, 10)
        await says("one")(exchange)

    engine.script = [held]
    first = threading.Thread(target=streamed, args=(client, question("first")))
    first.start()
    while not engine.exchanges:
        pass
    openai = OpenAI(base_url=f"{client.base_url}/v1", api_key="none", default_headers=OTHER)
    message: Any = {"role": "user", "content": "second"}
    stream = openai.chat.completions.create(
        model="tiny", messages=[message], stream=True, stream_options={"include_usage": True}
    )
    chunks = []
    for chunk in stream:
        chunks.append(chunk)
        going.set()
    first.join()
    assert chunks[0].meralion["queued"] == {"position": 1, "waiting": 1}  # type: ignore[attr-defined]
    assert all(chunk.choices for chunk in chunks[:-1])
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "Hello world"
    assert chunks[-1].usage and chunks[-1].usage.completion_tokens == 2
    assert all(chunk.usage is None for chunk in chunks[:-1])


@pytest.mark.usefixtures("quick")
def test_who_takes_nothing_is_cut_and_holds_no_place(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url], more="places = 1\n"))
    engine.script = [sends(*[MUCH] * 8, content_type="audio/mpeg")]
    body = json.dumps({"model": "tiny", "input": "Hi"}).encode()
    head = (
        "POST /v1/audio/speech HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"x-meralion-visitor: {OTHER['x-meralion-visitor']}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    address = urlsplit(str(client.base_url))
    with closing(socket.socket()) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        line.settimeout(10)
        line.connect((address.hostname, address.port))
        line.sendall(head.encode() + body)
        assert streamed(client, question())[-1] == "[DONE]"  # there is a place, though nothing was taken
        said = b""
        with suppress(ConnectionResetError):
            time.sleep(1.0)  # while it takes nothing
            while data := line.recv(2**20):
                said += data
        assert len(said) < 8 * len(MUCH)  # cut, and not taken for whole


def test_what_is_not_to_be_stored_is_not(client: httpx.Client, engine: FakeEngine) -> None:
    for _ in range(2):
        wish = {"cache-control": "No-Store"}
        answer = client.post(PATH, json=question(temperature=0), headers=wish)
        assert answer.headers["x-meralion-cache"] == "bypass"
    assert client.post(PATH, json=question(temperature=0)).headers["x-meralion-cache"] == "miss"
    assert len(engine.exchanges) == 3


def test_engines_learn_the_id_of_a_request(client: httpx.Client, engine: FakeEngine) -> None:
    client.post(PATH, json=question(), headers={"x-request-id": "mine-7"})
    assert engine.exchanges[0].headers["x-request-id"] == "mine-7"


def test_openai_clients_are_told_where_asking_again_is_vain(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]), max_answer_bytes=100)
    engine.default = says("x" * 500)
    refused = client.post(PATH, json=question())
    assert error_of(refused, 502)["code"] == "answer_too_large"
    assert refused.headers["x-should-retry"] == "false"


def test_all_bodies_together_are_bounded(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url], more="places = 1\n"), uploads_max_bytes=100_000)
    going = threading.Event()

    async def held(exchange: Exchange) -> None:
        await asyncio.to_thread(going.wait, 10)
        await says("one")(exchange)

    engine.script = [held]
    data = clips.plain_wav(3.0)
    sound = {"data": base64.b64encode(data).decode(), "format": "wav"}
    body = question("What?", {"type": "input_audio", "input_audio": sound})
    first = threading.Thread(target=client.post, args=(PATH,), kwargs={"json": body})
    first.start()
    while not engine.exchanges:
        pass
    assert client.get("/v1/status").json()["uploads"]["bytes"] == 96_000  # the clip, while it may be needed
    refused = client.post(PATH, json=body, headers=VISITOR)
    assert error_of(refused, 429)["code"] == "uploads_busy"
    assert error_of(client.post("/v1/files", files={"file": ("a.wav", data)}), 429)["code"] == "uploads_busy"
    going.set()
    first.join()
    assert client.get("/v1/status").json()["uploads"]["bytes"] == 0
