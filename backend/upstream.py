"""The line to an engine: sends a request, reads what comes back, and turns every way to fail into one error.

Leaving one of these generators, by an error or because the asker has gone, closes the connection: so an
engine learns to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from backend.balancer import Instance, Pool
from backend.errors import Busy, Interrupted, Unavailable, UpstreamFailed
from backend.refusal import refusal
from backend.settings import Settings
from backend.timing import Timing

T = TypeVar("T")


@dataclass(frozen=True)
class Head:
    """The beginning of a reply that is passed through."""

    content_type: str


async def with_retry(
    pool: Pool, timing: Timing, attempt: Callable[[Instance], AsyncGenerator[T]]
) -> AsyncGenerator[T]:
    """Yield what an attempt yields; if it fails before its first item, try once more, elsewhere if it can."""
    failed: Instance | None = None
    while True:
        asked_at = timing.elapsed_ms
        instance = await pool.choose(avoid=failed)
        timing.queue_ms = round(timing.queue_ms + timing.elapsed_ms - asked_at, 2)
        timing.instance = instance.name
        begun = False
        try:
            with instance.place():
                async with aclosing(attempt(instance)) as items:
                    async for item in items:
                        begun = True
                        yield item
            return
        except (UpstreamFailed, Busy, Unavailable) as failure:
            if failure.broke:
                instance.suspect()
            if begun:
                raise Interrupted from failure
            may_help = failure.again and (failure.broke or pool.has_other(instance))
            if failed is not None or not may_help:
                raise
            failed = instance


class Line:
    """Requests to engines through one pool of connections."""

    def __init__(self, client: httpx.AsyncClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    @contextlib.asynccontextmanager
    async def open(
        self, instance: Instance, path: str, *, patience_s: float = 0.0, **content: Any
    ) -> AsyncGenerator[httpx.Response]:
        """Post `content`; give the response once its headers came. Raises ControllerError for all but 200.

        `patience_s` is added to the time-out for the first byte.
        """
        if instance.url is None:
            raise broken_off()
        headers = {**instance.headers, **content.pop("headers", {})}
        request = self._client.build_request("POST", instance.url + path, headers=headers, **content)
        with _as_one_error():
            async with asyncio.timeout(self._settings.first_byte_timeout_s + patience_s):
                response = await self._client.send(request, stream=True)
        try:
            if response.status_code != httpx.codes.OK:
                with _as_one_error():
                    async with asyncio.timeout(self._settings.silence_timeout_s):
                        raise await refusal(response)
            yield response
        finally:
            await response.aclose()

    async def passed_through(
        self, instance: Instance, path: str, *, patience_s: float = 0.0, **content: Any
    ) -> AsyncGenerator[Head | bytes]:
        """Yield a reply's Head once its first bytes came, then the bytes. Raises ControllerError."""
        async with self.open(instance, path, patience_s=patience_s, **content) as response:
            head: Head | None = None
            paced = self.paced(response.aiter_bytes(), lambda: head is not None, patience_s)
            async with aclosing(paced) as chunks:
                async for chunk in chunks:
                    if head is None:
                        head = Head(response.headers.get("content-type", "application/octet-stream"))
                        yield head
                    yield chunk
            if head is None:
                raise UpstreamFailed("upstream_nonsense", "The model gave an empty answer. Ask again.")

    async def paced(
        self,
        items: AsyncIterator[T],
        begun: Callable[[], bool] = lambda: True,
        patience_s: float = 0.0,
    ) -> AsyncGenerator[T]:
        """Yield items, none later than the time-out for the first, or once `begun`, the one for silence."""
        settings = self._settings
        while True:
            limit = settings.silence_timeout_s if begun() else settings.first_byte_timeout_s + patience_s
            with _as_one_error():
                try:
                    async with asyncio.timeout(limit):
                        item = await anext(items)
                except StopAsyncIteration:
                    return
            yield item


def broken_off() -> UpstreamFailed:
    """Return the error for an engine that went away."""
    return UpstreamFailed(
        "upstream_broke", "The model's engine broke off. Ask again in a moment.", broke=True
    )


@contextlib.contextmanager
def _as_one_error() -> Iterator[None]:
    """Turn what a network can do into UpstreamFailed."""
    try:
        yield
    except TimeoutError:
        raise UpstreamFailed("upstream_timeout", "The model did not answer in time. Ask again.") from None
    except (httpx.ConnectError, httpx.ConnectTimeout):
        raise UpstreamFailed(
            "upstream_unreachable", "The model's engine cannot be reached. Ask again in a moment.", broke=True
        ) from None
    except (httpx.TransportError, httpx.StreamError, httpx.DecodingError, ValueError):
        raise broken_off() from None
