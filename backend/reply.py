"""Writes an answer in OpenAI's form: a stream of chunks, or one object."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from backend import logs, sse
from backend.answer import Done, Event, Heard, Token, Usage
from backend.errors import ControllerError, internal
from backend.timing import Timing


class Reply:
    """The frame around one answer: its id, model and time stay the same in every chunk."""

    def __init__(self, model: str, timing: Timing, *, include_usage: bool = False) -> None:
        self._head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": model}
        self._timing = timing
        self._include_usage = include_usage

    async def stream(self, first: Event, rest: AsyncGenerator[Event]) -> AsyncGenerator[bytes]:
        """Yield server-sent events. An error after the beginning becomes the last one."""
        yield sse.event(self._chunk({"role": "assistant", "content": ""}))
        async with aclosing(rest):
            try:
                yield self._event(first)
                async for event in rest:
                    yield self._event(event)
                    if isinstance(event, Done) and self._include_usage:
                        yield sse.event({**self._chunk(None), "usage": _usage(event)})
            except ControllerError as error:
                logs.event(
                    "answer failed", level=logging.WARNING, code=error.code, instance=self._timing.instance
                )
                yield sse.event(error.body())
                return
            except Exception as error:
                logs.event("internal error", level=logging.ERROR, reason=logs.where(error))
                yield sse.event(internal().body())
                return
        yield sse.event(sse.DONE)

    async def whole(self, events: AsyncIterator[Event]) -> dict[str, Any]:
        """Collect the answer into one object. Raises ControllerError."""
        heard, text, done = "", "", Done("stop")
        async for event in events:
            if isinstance(event, Heard):
                heard += event.text
            elif isinstance(event, Token):
                text += event.text
            else:
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

    def _event(self, event: Event) -> bytes:
        if isinstance(event, Heard):
            return sse.event({**self._chunk({}), "meralion": {"heard": event.text}})
        if isinstance(event, Token):
            return sse.event(self._chunk({"content": event.text}))
        return sse.event(
            {**self._chunk({}, event.finish_reason), "meralion": {"timing": self._timing.card()}}
        )

    def _chunk(self, delta: dict[str, str] | None, finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        choices = [] if delta is None else [choice]
        return {**self._head, "object": "chat.completion.chunk", "choices": choices}


def _usage(done: Done) -> dict[str, int]:
    return (done.usage or Usage(0, 0)).card()
