"""The way of a chat request once it is understood: cache, then an engine, clocked all along."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from backend import chat_stream
from backend.answer import Event
from backend.balancer import Pool
from backend.cache import AnswerCache
from backend.request import ChatRequest
from backend.timing import HIT, MISS, Timing
from backend.upstream import Line, with_retry


async def answer(
    request: ChatRequest, *, cache: AnswerCache, pool: Pool, line: Line, timing: Timing, fresh: bool
) -> AsyncGenerator[Event]:
    """Yield the answer's events, the last one Done. Raises ControllerError.

    `fresh` passes over a kept answer.
    """
    key = request.key() if request.is_deterministic else None
    if key and not fresh:
        kept = cache.get(key)
        timing.cache = HIT if kept else MISS
        if kept:
            for event in kept:
                timing.saw(event)
                yield event
            return
    events: list[Event] = []
    stream = with_retry(pool, timing, lambda instance: chat_stream.ask(line, request, instance))
    async with aclosing(stream):
        async for event in stream:
            timing.saw(event)
            events.append(event)
            yield event
    if key:
        cache.put(key, events)
