"""The way of a chat request once it is understood: a kept answer, one that is on its way, or the engines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from backend import chat_stream
from backend.answer import Event, Queued, Token
from backend.failover import carry
from backend.instance import Instance
from backend.request import ChatRequest
from backend.timing import HIT, MISS, SHARED, Timing
from backend.upstream import Line

if TYPE_CHECKING:
    from backend.controller import Controller

Batch = list[Event | Queued]


class Chat:
    """A question, as a job for the engines of its model."""

    def __init__(self, request: ChatRequest, line: Line) -> None:
        self.key = request.key() if request.is_deterministic else None
        self.repeats = self.key is not None
        self.ask = request.ask()
        self.can_continue = request.row.engine != "openai"  # vLLM's own way of asking, which ours knows too
        self.max_tokens: int | None = request.sampling.get("max_tokens")
        self._request = request
        self._line = line

    def attempt(
        self, instance: Instance, continue_from: str = "", max_tokens: int | None = None
    ) -> AsyncGenerator[list[Event]]:
        """Yield one instance's answer in batches. Raises ControllerError."""
        return chat_stream.ask(self._line, self._request, instance, continue_from, max_tokens)


async def answer(
    request: ChatRequest, house: Controller, timing: Timing, *, fresh: bool, keep: bool
) -> AsyncGenerator[Batch]:
    """Yield the answer in batches, places in the queue before it, Done last. Raises ControllerError.

    `fresh` passes over answers that are kept or on their way; without `keep` this one is neither.
    """
    job = Chat(request, house.line)
    pool = house.pool(request.row)
    key = job.key if keep else None
    shareable = key if not fresh else None
    if shareable:
        timing.cache = MISS
        kept = await house.cache.get(shareable)
        if kept:
            timing.cache = HIT
            async for batch in _replayed(cast("Sequence[Event]", kept), house.settings.replay_tokens_per_s):
                timing.saw(*batch)
                yield batch
            return
    trip = timing.trip
    follower = house.flights.join(
        key, lambda sent: carry(pool, job, trip, house.settings, sent), trip, fresh=fresh
    )
    async with aclosing(follower):
        async for batch in follower:
            timing.trip = follower.trip
            if shareable and follower.shared:
                timing.cache = SHARED
            timing.saw(*batch)
            yield batch


async def _replayed(events: Sequence[Event], tokens_per_s: float) -> AsyncGenerator[Batch]:
    """Yield a kept answer, at once when `tokens_per_s` is 0."""
    if not tokens_per_s:
        yield [*events]
        return
    for event in events:
        yield [event]
        if isinstance(event, Token):
            await asyncio.sleep(1 / tokens_per_s)
