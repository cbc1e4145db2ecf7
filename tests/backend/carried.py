"""What tests of the way to the engines share: jobs, and a pool of fake engines to carry them to."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from backend import chat_stream
from backend.answer import Done, Queued, Token
from backend.balancer import Instance, Pool
from backend.failover import carry
from backend.job import Trip
from backend.settings import Settings
from backend.upstream import Body, Line
from backend.work import Ask, Work
from tests.backend.fake_engine import FakeEngine

QUICK: dict[str, Any] = {
    "hedge_first_s": 0.3,
    "hedge_silence_s": 0.2,
    "first_byte_timeout_s": 5.0,
    "silence_timeout_s": 5.0,
    "queue_timeout_s": 5.0,
}


@dataclass(frozen=True)
class Question:
    """A request in the smallest form that an engine takes."""

    text: str
    sampling: dict[str, Any] = field(default_factory=dict)

    def body(self, continue_from: str = "", max_tokens: int | None = None) -> Body:
        messages = [{"role": "user", "content": self.text}]
        onward: dict[str, Any] = {}
        if continue_from:
            messages.append({"role": "assistant", "content": continue_from})
            onward = {"continue_final_message": True, "add_generation_prompt": False}
        if max_tokens is not None:
            onward["max_tokens"] = max_tokens
        whole = {"model": "tiny", "messages": messages, "stream": True, **self.sampling, **onward}
        return Body("application/json", [json.dumps(whole).encode()])


@dataclass
class Asked:
    """A job that asks one question; greedy unless it has no key."""

    line: Line
    text: str = "What is said?"
    key: str | None = "a" * 64
    can_continue: bool = False
    max_tokens: int | None = None
    ask: Ask = field(default_factory=lambda: Ask("someone", Work(tokens=20)))

    @property
    def repeats(self) -> bool:
        return self.key is not None

    async def attempt(
        self, instance: Instance, continue_from: str = "", max_tokens: int | None = None
    ) -> AsyncGenerator[list[Any]]:
        question = Question(self.text, {"max_tokens": self.max_tokens} if self.max_tokens else {})
        stream = chat_stream.ask(self.line, question, instance, continue_from, max_tokens)
        async with aclosing(stream) as batches:
            async for batch in batches:
                yield [*batch]


@dataclass
class Read(Asked):
    """A job whose reply is passed through as it is."""

    async def attempt(
        self, instance: Instance, continue_from: str = "", max_tokens: int | None = None
    ) -> AsyncGenerator[list[Any]]:
        body = Body("application/json", [b"{}"])
        async with aclosing(self.line.passed_through(instance, "/v1/audio/speech", body)) as batches:
            async for batch in batches:
                yield [*batch]


JOB = Asked(None)  # type: ignore[arg-type]  # its line is made in the loop that uses it


class Fleet:
    """Instances before fake engines, all up, in one pool."""

    def __init__(self, *engines: FakeEngine, **settings: Any) -> None:
        self.engines = engines
        self.settings = Settings(**{**QUICK, **settings})
        self.instances = [Instance(engine.url, engine.url) for engine in engines]
        self.pool = Pool("Tiny", self.instances, self.settings)
        for instance in self.instances:
            instance.set("up")
        self.trip = Trip()

    @contextlib.asynccontextmanager
    async def line(self) -> AsyncGenerator[Line]:
        line = Line(self.settings)
        yield line
        await line.close()
        assert [instance.busy for instance in self.instances] == [0] * len(self.instances)
        assert self.pool.waiting == 0
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        assert not rest  # nothing goes on after the end

    def carry(self, job: Asked, sent: list[Any] | None = None) -> AsyncGenerator[list[Any]]:
        return carry(self.pool, job, self.trip, self.settings, sent or [])

    async def items(self, job: Asked, sent: list[Any] | None = None) -> list[Any]:
        """All that comes, without places in the queue."""
        async with aclosing(self.carry(job, sent)) as batches:
            return [item async for batch in batches for item in batch if not isinstance(item, Queued)]


def words(items: list[Any]) -> str:
    return "".join(item.text for item in items if isinstance(item, Token))


def end(items: list[Any]) -> Done:
    done: Done = items[-1]
    assert isinstance(done, Done) and sum(isinstance(item, Done) for item in items) == 1
    return done
