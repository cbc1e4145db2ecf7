"""Two real engines behind one controller; one is killed or stopped under load, and no answer is lost.

The engines write one answer at a time here: llama.cpp rounds otherwise when it writes several at once, so
that even greedy answers would depend on what else was asked.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from backend.settings import Settings
from tests.backend.conftest import VISITOR, serving
from tests.model.conftest import Engine
from tests.speech import CASCADE, sample

pytestmark = [pytest.mark.engine, pytest.mark.slow]

ROW = f"""
[{CASCADE}]
title = "Cascade"
sentence = "Two engines."
kind = "chat"
engine = "embedded"
instances = ["{{0}}", "{{1}}"]
licence = "Apache-2.0"

[{CASCADE}.capabilities]
transcribe = true
answer = true
chat = true
"""
CLIP = "sg-school"
ASKED = [
    (CLIP, "Please transcribe this speech."),
    (CLIP, "When is the science fair?"),
    *((None, f"Tell me a long story about {thing}.") for thing in ("rice", "a taxi", "the sea")),
]


@pytest.fixture(scope="module")
def engines() -> Iterator[list[Engine]]:
    names = {"SPEECH": "false", "THREADS": "1", "MAX_RUNNING": "1"}
    settings = {f"MERALION_ENGINE_{name}": value for name, value in names.items()}
    with ThreadPoolExecutor() as pool:
        started = list(pool.map(lambda _: Engine(**settings), range(2)))
    yield started
    for engine in started:
        engine.process.kill()
        engine.close()


@pytest.fixture(scope="module")
def controller(engines: list[Engine], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("controller")
    models = folder / "models.toml"
    models.write_text(ROW.format(*(engine.url for engine in engines)))
    with serving(Settings(models=models, samples=folder / "none.json", cache_store="none")) as url:
        yield url


@pytest.fixture(scope="module")
def undisturbed(controller: str) -> list[str]:
    texts, _ = asyncio.run(ask_all(controller))
    return texts


class Stream:
    """One asker: what has come so far, from whom it began, and which end it had."""

    def __init__(self, clip: str | None, prompt: str) -> None:
        content: list[dict[str, Any]] = [{"type": "text", "text": prompt}]
        if clip:
            sound = {"data": base64.b64encode(sample(clip)).decode(), "format": "wav"}
            content.insert(0, {"type": "input_audio", "input_audio": sound})
        self.body = {
            "model": CASCADE,
            "messages": [{"role": "user", "content": content}],
            "temperature": 0,
            "max_tokens": 48,
            "stream": True,
        }
        self.instance = ""
        self.pieces: list[str] = []
        self.ended = False

    async def read(self, client: httpx.AsyncClient) -> str:
        headers = {"cache-control": "no-cache"}
        async with client.stream("POST", "/v1/chat/completions", json=self.body, headers=headers) as reply:
            assert reply.status_code == 200, await reply.aread()
            self.instance = reply.headers["x-meralion-instance"]
            async for line in reply.aiter_lines():
                if line == "data: [DONE]":
                    self.ended = True
                elif line.startswith("data: "):
                    chunk = json.loads(line[6:])
                    assert "error" not in chunk, chunk
                    texts = [choice["delta"].get("content") for choice in chunk["choices"]]
                    self.pieces += [text for text in texts if text]
        assert self.ended
        return "".join(self.pieces)


async def ask_all(url: str, strike: Callable[[list[Stream]], bool] | None = None) -> tuple[list[str], int]:
    """Ask everything at once, strike when it can be; return the texts, and how many had not ended by then."""
    async with httpx.AsyncClient(base_url=url, headers=VISITOR, timeout=60, trust_env=False) as client:
        streams = [Stream(*asked) for asked in ASKED]
        reading = asyncio.gather(*(stream.read(client) for stream in streams))
        while strike and not reading.done() and not strike(streams):  # noqa: ASYNC110 - of other processes
            await asyncio.sleep(0.01)
        hit = sum(not stream.ended for stream in streams)
        return await reading, hit


def strike(engine: Engine, number: signal.Signals) -> Callable[[list[Stream]], bool]:
    """Hit an engine once it is in the middle of an answer."""
    name = engine.url.removeprefix("http://")

    def look(streams: list[Stream]) -> bool:
        is_writing = any(one.instance == name and len(one.pieces) > 5 and not one.ended for one in streams)
        if is_writing:
            os.kill(engine.process.pid, number)
        return is_writing

    return look


def test_one_that_is_stopped(controller: str, engines: list[Engine], undisturbed: list[str]) -> None:
    try:
        texts, hit = asyncio.run(ask_all(controller, strike(engines[0], signal.SIGSTOP)))
    finally:
        os.kill(engines[0].process.pid, signal.SIGCONT)
    assert hit >= 2
    assert texts == undisturbed


def test_one_that_is_killed(controller: str, engines: list[Engine], undisturbed: list[str]) -> None:
    texts, hit = asyncio.run(ask_all(controller, strike(engines[1], signal.SIGKILL)))
    assert hit >= 2
    assert texts == undisturbed
