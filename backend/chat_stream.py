"""Reads an engine's chat stream as the events of an answer."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator
from typing import Any, Protocol

from pydantic_core import from_json

from backend import logs, sse
from backend.answer import Done, Event, Heard, Token, Usage
from backend.balancer import Instance
from backend.errors import ControllerError
from backend.refusal import from_object
from backend.upstream import NONSENSE, Body, Line, broken_off, nonsense

PATH = "/v1/chat/completions"
_DONE = sse.DONE.encode()
_NOTHING: dict[str, Any] = {}
_TAIL_S = 2.0  # for what may follow the finish reason: the usage, and the end


class Question(Protocol):
    """What is asked, as a body for an engine."""

    def body(self, continue_from: str = "", max_tokens: int | None = None) -> Body:
        """Return it; an answer that was begun goes on from `continue_from` for `max_tokens` at most."""
        ...


async def ask(
    line: Line, question: Question, instance: Instance, continue_from: str = "", max_tokens: int | None = None
) -> AsyncGenerator[list[Event]]:
    """Yield one engine's answer in batches, as it comes over the wire; the last event is Done.

    `continue_from` is the beginning of the answer, from which the engine goes on. Raises ControllerError; for
    damage in the stream too, since what it hit may have been a word.
    """
    reading = _Reading()
    clock = asyncio.get_running_loop().time
    size = 0
    async with line.open(instance, PATH, question.body(continue_from, max_tokens)) as reply:
        if not reply.headers.get("content-type", "").lower().startswith("text/event-stream"):
            raise nonsense("The model's server did not answer with a stream. Ask again.")
        deadline = clock() + line.first_s
        while not reading.ended:
            failure: ControllerError | None = None
            try:
                data = await line.read(reply, deadline)
                size += len(data)
                line.check_size(size)
                progress = reading.take(data)
            except ControllerError as error:
                failure = error
            if reading.finish_reason and (failure or reading.ended):
                break  # after its finish reason an answer is whole, whatever becomes of the connection
            if reading.events and (
                reading.begun or not failure
            ):  # with nothing sent, any request may run again
                yield reading.drain()
            if failure:
                if failure.code == NONSENSE:
                    logs.event("upstream malformed", level=logging.WARNING, instance=instance.name)
                raise failure
            if progress:  # a comment is no sign that the answer goes on
                deadline = clock() + reading.patience_s(line)
        else:
            raise broken_off()
        if not failure:
            reply.skip_rest()
    yield [*reading.events, Done(reading.finish_reason, reading.usage, reading.timing)]


class _Reading:
    """What a stream has told so far; `events` are those that were not sent yet, `begun` whether any was."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.ended = False
        self.finish_reason = ""
        self.usage: Usage | None = None
        self.timing: dict[str, float] = {}
        self.begun = False
        self._parser = sse.Parser()

    def take(self, data: bytes) -> bool:
        """Take bytes in, b"" at the end; return whether a chunk was among them. Raises ControllerError."""
        try:
            chunks = self._parser.feed(data) if data else self._parser.end()
            self.ended = not data
            for chunk in chunks:
                if chunk == _DONE:
                    self.ended = True
                    break
                self._chunk(from_json(chunk, cache_strings="keys"))
        except (ValueError, TypeError, AttributeError):
            raise nonsense("The model's server sent an answer that is damaged. Ask again.") from None
        return bool(chunks)

    def drain(self) -> list[Event]:
        """Return the events that came since the last call."""
        events, self.events = self.events, []
        self.begun = True
        return events

    def patience_s(self, line: Line) -> float:
        """Return how long the next chunk may take."""
        if self.finish_reason:
            return min(_TAIL_S, line.silence_s)
        return line.silence_s if self.begun else line.first_s

    def _chunk(self, chunk: Any) -> None:
        """Take one chunk in. What is no chunk is a ValueError, TypeError or AttributeError."""
        if error := chunk.get("error"):
            raise _stream_error(error)
        if extra := chunk.get("meralion"):
            self._extra(extra)
        if usage := chunk.get("usage"):
            self._count(usage)
        for choice in chunk.get("choices") or ():
            if text := (choice.get("delta") or _NOTHING).get("content"):
                self.events.append(Token(_words(text)))
            if reason := choice.get("finish_reason"):
                self.finish_reason = _words(reason)

    def _extra(self, extra: Any) -> None:
        if heard := extra.get("heard"):
            self.events.append(Heard(_words(heard)))
        for name, value in (extra.get("timing") or _NOTHING).items():
            if isinstance(value, int | float) and math.isfinite(value):
                self.timing[name] = float(value)

    def _count(self, usage: Any) -> None:
        counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if all(isinstance(count, int) for count in counts):
            self.usage = Usage(*counts)


def _words(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _stream_error(error: Any) -> ControllerError:
    """Return ours for an error in the stream. OpenAI names its kind; vLLM's code is an HTTP status."""
    said = error if isinstance(error, dict) else {}
    if said.get("type") == "invalid_request_error":
        return from_object(400, error)
    code = said.get("code")
    return from_object(code if isinstance(code, int) else 500, error)
