"""A real controller on a real socket, in front of engines that do as they are told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from backend import broadcast, cache, redis_link, shared_flight
from backend.api import create_app
from backend.protocol import Protocol
from backend.settings import Settings
from tests.backend.fake_engine import FakeEngine

ROW = """
[{id}]
title = "Tiny"
sentence = "A model for tests."
kind = "{kind}"
engine = "{engine}"
instances = {instances}
licence = "MIT"
{more}
[{id}.capabilities]
transcribe = true
translate = true
chat = true
speech = true
sound = "It hears words only."
"""
VISITOR = {"x-meralion-visitor": "visitor-one-0123456789"}
OTHER = {"x-meralion-visitor": "visitor-two-0123456789"}

Start = Callable[..., httpx.Client]


def row(
    instances: Sequence[str],
    *,
    name: str = "tiny",
    kind: str = "chat",
    engine: str = "openai",
    more: str = "",
) -> str:
    return ROW.format(id=name, kind=kind, engine=engine, instances=json.dumps(list(instances)), more=more)


@contextlib.contextmanager
def serving(settings: Settings, **options: Any) -> Iterator[str]:
    """Run the app by uvicorn in a thread and give its address."""
    config = uvicorn.Config(
        create_app(settings, **options),
        port=0,
        http=Protocol,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        lifespan="on",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    listening = threading.Event()
    make_loop = config.get_loop_factory() or asyncio.new_event_loop  # the loop that a real start uses
    loop = make_loop()

    async def main() -> None:
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        listening.set()
        await server.main_loop()
        await server.shutdown()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    assert listening.wait(20)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
        loop.close()
        assert not thread.is_alive()


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    fake = FakeEngine("tiny")
    yield fake
    fake.shut_down()


@pytest.fixture
def second_engine() -> Iterator[FakeEngine]:
    fake = FakeEngine("tiny")
    yield fake
    fake.shut_down()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a controller for a registry's text; settings are short enough for tests."""
    with contextlib.ExitStack() as stack:

        def begin(
            registry: str, *, engine_command: Sequence[str] | None = None, **settings: Any
        ) -> httpx.Client:
            models = tmp_path / "models.toml"
            models.write_text(registry)
            quick = {
                "first_byte_timeout_s": 2.0,
                "silence_timeout_s": 0.5,
                "probe_interval_s": 0.2,
                "queue_timeout_s": 10.0,
                "samples": tmp_path / "manifest.json",
                "cache_file": tmp_path / "answers.sqlite",
            }
            chosen = Settings(models=models, **{**quick, **settings})
            options = {"engine_command": engine_command} if engine_command else {}
            url = stack.enter_context(serving(chosen, **options))
            return stack.enter_context(
                httpx.Client(base_url=url, headers=VISITOR, timeout=30, trust_env=False)
            )

        yield begin


@pytest.fixture
def client(start: Start, engine: FakeEngine) -> httpx.Client:
    """A controller in front of one obedient engine."""
    return start(row([engine.url]))


def question(text: str = "What is said?", *parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A chat body; recordings come before the words."""
    content: Any = [*parts, {"type": "text", "text": text}] if parts else text
    return {"model": "tiny", "messages": [{"role": "user", "content": content}], **fields}


def streamed(client: httpx.Client, body: dict[str, Any], **options: Any) -> list[Any]:
    """Ask and return every event of the stream, parsed, with "[DONE]" as it is."""
    with client.stream("POST", "/v1/chat/completions", json={**body, "stream": True}, **options) as response:
        assert response.status_code == 200, response.read()
        lines = [line[6:] for line in response.iter_lines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def text_of(events: list[Any]) -> str:
    """The words of a stream."""
    chunks = [event for event in events if isinstance(event, dict) and event.get("choices")]
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)


def error_of(response: httpx.Response, status: int) -> dict[str, Any]:
    """The error object of a refused request, whose form is checked here for all tests."""
    assert response.status_code == status, response.text
    assert response.headers["x-request-id"]
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"][-1] in ".?`"
    error: dict[str, Any] = body["error"]
    return error


@pytest.fixture
def patient_with_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what is not about a busy machine: Redis may take seconds."""
    names = ((redis_link, "PATIENCE_S"), (redis_link, "READ_PATIENCE_S"))
    for module, name in (*names, (broadcast, "PATIENCE_S"), (shared_flight, "PATIENCE_S")):
        monkeypatch.setattr(module, name, 5.0)
    monkeypatch.setitem(redis_link._OPTIONS, "socket_connect_timeout", 5.0)


@pytest.fixture
def patient_with_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what is not about a busy machine: the store of answers may take seconds."""
    monkeypatch.setattr(cache, "_PATIENCE_S", 10.0)
