"""Reads an engine's chat stream as the events of an answer."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

from backend import logs, sse
from backend.answer import Done, Event, Heard, Token, Usage
from backend.balancer import Instance
from backend.errors import UpstreamFailed
from backend.refusal import from_object
from backend.request import ChatRequest
from backend.upstream import Line, broken_off

PATH = "/v1/chat/completions"


async def ask(line: Line, request: ChatRequest, instance: Instance) -> AsyncGenerator[Event]:
    """Yield one engine's answer; the last event is Done. Raises ControllerError."""
    reading = _Reading()
    async with line.open(instance, PATH, json=request.payload()) as response:
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            raise UpstreamFailed(
                "upstream_nonsense", "The model's server did not answer with a stream. Ask again."
            )
        lines = line.paced(sse.events(response.aiter_bytes()), lambda: reading.begun)
        try:
            async with aclosing(lines):
                async for data in lines:
                    if data == sse.DONE:
                        break
                    for event in reading.events(data):
                        yield event
        except UpstreamFailed:
            if not reading.finish_reason:
                raise  # after its finish reason an answer is whole, whatever becomes of the connection
    if not reading.finish_reason:
        raise broken_off()
    if reading.malformed:
        logs.event(
            "upstream malformed", level=logging.WARNING, instance=instance.name, count=reading.malformed
        )
    yield Done(reading.finish_reason, reading.usage, reading.timing)


class _Reading:
    """What a stream has told so far."""

    def __init__(self) -> None:
        self.begun = False
        self.finish_reason = ""
        self.usage: Usage | None = None
        self.timing: dict[str, float] = {}
        self.malformed = 0

    def events(self, data: str) -> Iterator[Heard | Token]:
        """Take one chunk in. A line that is no chunk is stepped over; an error in the stream is raised."""
        try:
            chunk = json.loads(data)
            if "error" in chunk:
                raise _stream_error(chunk["error"])
            pieces = list(self._pieces(chunk))
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            self.malformed += 1
            return
        self.begun = self.begun or bool(pieces)
        yield from pieces

    def _pieces(self, chunk: Any) -> Iterator[Heard | Token]:
        extra = chunk.get("meralion") or {}
        if extra.get("heard"):
            yield Heard(str(extra["heard"]))
        for name, value in (extra.get("timing") or {}).items():
            self.timing[str(name)] = float(value)
        if chunk.get("usage"):
            usage = chunk["usage"]
            self.usage = Usage(int(usage["prompt_tokens"]), int(usage["completion_tokens"]))
        for choice in chunk.get("choices") or []:
            text = (choice.get("delta") or {}).get("content")
            if text:
                yield Token(str(text))
            self.finish_reason = str(choice.get("finish_reason") or self.finish_reason)


def _stream_error(error: Any) -> Exception:
    asker = isinstance(error, dict) and error.get("type") == "invalid_request_error"
    return from_object(400 if asker else 500, error)
