"""Twelve streams over two engines, the first of them faulty, with the settings as they come.

The table that gateways are compared by: each row from a fresh start, each stream with words of its own, and
only what is whole counts: every word once and in order, a finish reason, and the end.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.settings import Settings
from tests.backend.conftest import VISITOR, question, row, serving, text_of
from tests.backend.fake_engine import Behaviour, FakeEngine, recital, recites, refuses, stalls_after

STREAMS = 12
WITHIN_S = 8.0
GAP_S = 0.02
FAULTS: dict[str, Behaviour] = {
    "500": refuses(500),
    "429": refuses(429),
    "refused": recites(),  # its door is closed once it was found to be up
    "hang": stalls_after(),
    "cut": recites(gap_s=GAP_S, fault_at=10),
    "stall": recites(gap_s=GAP_S, fault_at=10, fault="stall"),
    "extra line": recites(gap_s=GAP_S, fault_at=10, fault="extra line"),
    "broken line": recites(gap_s=GAP_S, fault_at=10, fault="broken line"),
}


@dataclass
class Outcome:
    """What twelve askers got, and how long it took them."""

    streams: list[tuple[str, list[Any]]]
    seconds: float
    met: int  # requests that reached the faulty engine


class Table:
    """Plays every row at once, each with a controller and two engines of its own."""

    def __init__(self, folder: Path, engine: str, **fields: Any) -> None:
        self.outcomes: dict[str, Outcome] = {}
        with ExitStack() as stack:
            plays = []
            for name, fault in FAULTS.items():
                faulty, sound = FakeEngine("tiny"), FakeEngine("tiny")
                for fake in (faulty, sound):
                    stack.callback(fake.shut_down)
                faulty.default, sound.default = fault, recites(gap_s=GAP_S)
                models = folder / f"{name}.toml"
                models.write_text(row([faulty.url, sound.url], engine=engine))
                settings = Settings(models=models, samples=folder / "none.json", cache_store="none")
                url = stack.enter_context(serving(settings))
                plays.append(threading.Thread(target=self._play, args=(name, url, faulty, fields)))
            for play in plays:
                play.start()
            for play in plays:
                play.join()

    def _play(self, name: str, url: str, faulty: FakeEngine, fields: dict[str, Any]) -> None:
        self.outcomes[name] = asyncio.run(self._ask(name, url, faulty, fields))

    async def _ask(self, name: str, url: str, faulty: FakeEngine, fields: dict[str, Any]) -> Outcome:
        async with httpx.AsyncClient(base_url=url, headers=VISITOR, timeout=30, trust_env=False) as client:
            if name == "refused":
                faulty.close()
            began = time.monotonic()
            asked = [stream(client, f"{name}: what is said in clip {at}?", fields) for at in range(STREAMS)]
            streams = await asyncio.gather(*asked)
            return Outcome(streams, time.monotonic() - began, len(faulty.exchanges))


async def stream(client: httpx.AsyncClient, text: str, fields: dict[str, Any]) -> tuple[str, list[Any]]:
    body = {**question(text, **fields), "stream": True}
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        assert response.status_code == 200, await response.aread()
        lines = [line[6:] async for line in response.aiter_lines() if line.startswith("data: ")]
    return text, [line if line == "[DONE]" else json.loads(line) for line in lines]


def finish(events: list[Any]) -> list[str]:
    choices = [choice for event in events if event != "[DONE]" for choice in event.get("choices") or ()]
    return [choice["finish_reason"] for choice in choices if choice["finish_reason"]]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Table]:
    played: dict[str, Table] = {}

    def play(engine: str, **fields: Any) -> Table:
        name = json.dumps([engine, fields])
        if name not in played:
            played[name] = Table(tmp_path_factory.mktemp("table"), engine, **fields)
        return played[name]

    return play


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    ("engine", "fields"),
    [("openai", {"temperature": 0}), ("vllm", {"temperature": 1.0})],
    ids=["greedy", "sampled"],
)
def test_twelve_of_twelve(
    table: Callable[..., Table], fault: str, engine: str, fields: dict[str, Any]
) -> None:
    outcome = table(engine, **fields).outcomes[fault]
    for asked, events in outcome.streams:
        assert text_of(events) == "".join(recital(asked))
        assert finish(events) == ["stop"]
        assert events.count("[DONE]") == 1 and events[-1] == "[DONE]"
    assert outcome.seconds < WITHIN_S
    assert outcome.met or fault == "refused"
