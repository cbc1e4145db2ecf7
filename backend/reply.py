"""Writes an answer in OpenAI's form: a stream of chunks, or one object."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import asdict
from json.encoder import encode_basestring_ascii
from typing import Any

from backend import sse
from backend.answer import Done, Event, Heard, Queued, Token, Usage
from backend.timing import Timing

Batch = list[Event | Queued]
_CHUNK = "chat.completion.chunk"
_MARK = secrets.token_hex(16)  # stands for a token's text


class Reply:
    """The frame around one answer: its id, model and time stay the same in every chunk."""

    def __init__(self, model: str, timing: Timing, *, include_usage: bool = False) -> None:
        self._head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": model}
        self._timing = timing
        self._include_usage = include_usage
        self._begun = False
        self._around = sse.event(self._chunk({"content": _MARK})).split(_MARK.encode())

    async def stream(self, batches: AsyncGenerator[Batch]) -> AsyncGenerator[bytes]:
        """Yield server-sent events. Raises ControllerError."""
        async with aclosing(batches):
            async for batch in batches:
                yield self._written(batch)
        yield sse.event(sse.DONE)

    async def whole(self, batches: AsyncIterator[Batch]) -> dict[str, Any]:
        """Collect the answer into one object. Raises ControllerError."""
        heard, text, done = "", "", Done("stop")
        async for batch in batches:
            for event in batch:
                if isinstance(event, Heard):
                    heard += event.text
                elif isinstance(event, Token):
                    text += event.text
                elif isinstance(event, Done):
                    done = event
        message = {"role": "assistant", "content": text, "refusal": None}
        extra: dict[str, Any] = {"timing": self._timing.card()}
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [
                {"index": 0, "message": message, "finish_reason": done.finish_reason, "logprobs": None}
            ],
            "usage": _usage(done),
            "meralion": extra | ({"heard": heard} if heard else {}),
        }

    def _written(self, batch: Batch) -> bytes:
        return b"".join([self._event(event) for event in batch])

    def _event(self, event: Event | Queued) -> bytes:
        if isinstance(event, Token) and self._begun:  # most are: only what differs is written anew
            before, after = self._around
            return before + encode_basestring_ascii(event.text)[1:-1].encode() + after
        return b"".join(map(sse.event, self._chunks(event)))

    def _chunks(self, event: Event | Queued) -> Iterator[dict[str, Any]]:
        if isinstance(event, Queued):
            yield {**self._chunk({}), "meralion": {"queued": asdict(event)}}
            return
        if not self._begun:  # it has left the queue
            self._begun = True
            yield self._chunk({"role": "assistant", "content": ""})
        if isinstance(event, Heard):
            yield {**self._chunk({}), "meralion": {"heard": event.text}}
        elif isinstance(event, Token):
            yield self._chunk({"content": event.text})
        else:
            timing = {"timing": self._timing.card()}
            yield {**self._chunk({}, event.finish_reason), "meralion": timing}
            if self._include_usage:
                yield {**self._head, "object": _CHUNK, "choices": [], "usage": _usage(event)}

    def _chunk(self, delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        usage = {"usage": None} if self._include_usage else {}
        return {**self._head, "object": _CHUNK, "choices": [choice], **usage}


def _usage(done: Done) -> dict[str, int]:
    return (done.usage or Usage(0, 0)).card()
