"""Two real vLLMs behind one controller; one is stopped and then killed under load, and no answer is lost.

Each writes one answer at a time here: the kernels for the CPU round otherwise when several are in a batch, so
that even greedy answers of a model with random weights would depend on what else was asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.vllm.served import SHARED_MEMORY, Served
from tests.vllm.test_controller import PYTHON, ROOT, ROW

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.is_file(), reason="the controller's .venv is not there: make demo"),
]
TOKENS = 40
STREAMS = 5


class Victim(Served):
    """A server that is stopped and killed. What it leaves in shared memory, Python's tracker tidies up."""

    def __init__(self, folder: Path, log: Path) -> None:
        super().__init__(folder, log)
        self._working = [pid for pid in [self.process.pid, *self.processes()] if not _is_tracker(pid)]
        self._segments = self.segments()

    def signal(self, number: signal.Signals) -> None:
        """Signal every process that works."""
        for pid in self._working:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def tidied(self) -> bool:
        return not self._segments & set(SHARED_MEMORY.iterdir())


def _is_tracker(pid: int) -> bool:
    return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.fixture(scope="module")
def second(checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    server = Victim(checkpoint("v2"), tmp_path_factory.mktemp("second") / "log")
    yield server
    server.signal(signal.SIGKILL)
    server.close()
    deadline = time.monotonic() + 10
    while not server.tidied():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def controller(served: Served, second: Victim, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("registry")
    registry = folder / "models.toml"
    both = f'{served.url}", "{second.url}'
    registry.write_text(ROW.format(url=both, name=served.name))
    settings = {
        "MERALION_MODELS": str(registry),
        "MERALION_PORT": "0",
        "MERALION_PLACES": "1",
        "MERALION_CACHE_STORE": "none",
        "MERALION_EXIT_WITH_PARENT": "1",
    }
    process = subprocess.Popen(
        [PYTHON, "-m", "backend"],
        cwd=ROOT,
        env={**os.environ, **settings},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    ready = json.loads(process.stdout.readline())
    yield f"http://{ready['host']}:{ready['port']}"
    process.stdin.close()
    process.wait(timeout=10)
    process.stdout.close()


class Stream:
    """One asker: what has come so far, from whom it began, what it cost."""

    def __init__(self, text: str, temperature: float) -> None:
        messages = [{"role": "user", "content": text}]
        self.body = {"model": "tiny", "messages": messages, "max_tokens": TOKENS, "temperature": temperature}
        self.instance = ""
        self.pieces: list[str] = []
        self.usage: dict[str, int] = {}
        self.ended = False

    async def read(self, client: httpx.AsyncClient) -> str:
        body = {**self.body, "stream": True, "stream_options": {"include_usage": True}}
        headers = {"cache-control": "no-cache"}
        async with client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as reply:
            assert reply.status_code == 200, await reply.aread()
            self.instance = reply.headers.get("x-meralion-instance", "")  # not known while it is queued
            async for line in reply.aiter_lines():
                if line == "data: [DONE]":
                    self.ended = True
                elif line.startswith("data: "):
                    chunk = json.loads(line[6:])
                    assert "error" not in chunk, chunk
                    texts = [choice["delta"].get("content") for choice in chunk["choices"]]
                    self.pieces += [text for text in texts if text]
                    self.usage = chunk.get("usage") or self.usage
        assert self.ended
        return "".join(self.pieces)


async def ask_all(
    url: str, hit: Callable[[], None] | None = None, victim: str = "", temperature: float = 0.0
) -> list[Stream]:
    """Ask everything at once; `hit` is called when the victim is in the middle of an answer.

    One that was stopped may answer so slowly at first that the other takes its question: all is asked again.
    """
    deadline = time.monotonic() + 120
    async with httpx.AsyncClient(base_url=url, timeout=90) as client:
        while True:
            streams = [Stream(f"Tell me about rice {number}.", temperature) for number in range(STREAMS)]
            reading = asyncio.gather(*(stream.read(client) for stream in streams))
            was_hit = hit is None
            while not (was_hit or reading.done()):
                if any(one.instance == victim and len(one.pieces) > 3 and not one.ended for one in streams):
                    hit()
                    was_hit = True
                await asyncio.sleep(0.002)
            await reading
            if was_hit:
                return streams
            assert time.monotonic() < deadline, "it was never in the middle of an answer"


def until_well(url: str, victim: str) -> None:
    """Wait until the one that was stopped is asked again."""
    deadline = time.monotonic() + 60
    while True:
        instances = httpx.get(f"{url}/v1/status").json()["instances"]
        one = next(one for one in instances if one["name"] == victim)
        if (one["state"], one["breaker"]) == ("up", "closed"):
            return
        if one["state"] == "up":  # and rests: a question is its try
            httpx.post(
                f"{url}/v1/chat/completions", json={**Stream("Hi", 1.0).body, "max_tokens": 1}, timeout=60
            )
        assert time.monotonic() < deadline
        time.sleep(0.1)


def texts(streams: list[Stream]) -> list[str]:
    return ["".join(stream.pieces) for stream in streams]


def test_one_of_two_is_lost(controller: str, second: Victim) -> None:
    victim = second.url.removeprefix("http://")
    undisturbed = texts(asyncio.run(ask_all(controller)))
    assert undisturbed == texts(asyncio.run(ask_all(controller)))  # the two say the same

    def stop() -> None:
        second.signal(signal.SIGSTOP)

    def kill() -> None:
        second.signal(signal.SIGKILL)

    try:
        assert texts(asyncio.run(ask_all(controller, stop, victim))) == undisturbed
        second.signal(signal.SIGCONT)
        until_well(controller, victim)
        sampled = asyncio.run(ask_all(controller, stop, victim, temperature=1.0))
        assert all(0 < stream.usage["completion_tokens"] <= TOKENS for stream in sampled)
    finally:
        second.signal(signal.SIGCONT)
    until_well(controller, victim)
    assert texts(asyncio.run(ask_all(controller, kill, victim))) == undisturbed
