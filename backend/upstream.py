"""The line to an engine: sends a request, reads what comes back, and turns every way to fail into one error.

Leaving one of these generators, by an error or because the asker has gone, cuts the connection: so an engine
learns to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from backend import logs, tracing
from backend.answer import Head
from backend.balancer import Instance
from backend.errors import BROKEN_OFF, ControllerError, UpstreamFailed
from backend.http1 import Body, Client, HttpError, Reply, Unreachable
from backend.refusal import refusal
from backend.settings import Settings

__all__ = ["NONSENSE", "Body", "Line", "Reply", "broken_off", "nonsense"]

NONSENSE = "upstream_nonsense"


class Line:
    """Requests to engines over connections that are kept."""

    def __init__(self, settings: Settings) -> None:
        self._client = Client(settings.connect_timeout_s)
        self._settings = settings

    async def close(self) -> None:
        """Cut what still runs and end all connections."""
        await self._client.close()

    @contextlib.asynccontextmanager
    async def open(
        self, instance: Instance, path: str, body: Body, *, patience_s: float = 0.0
    ) -> AsyncGenerator[Reply]:
        """Post a body; give the reply once its headers came. Raises ControllerError for all but 200.

        `patience_s` is added to the time-out for the first byte. Leaving cuts the connection unless the reply
        is whole or its rest is skipped.
        """
        if instance.url is None:
            raise broken_off()
        with tracing.span("upstream", instance=instance.name) as span:
            headers = {"x-request-id": logs.request_id.get(), **instance.headers, **span.headers()}
            try:
                async with asyncio.timeout(self.first_s + patience_s):
                    reply = await self._client.post(instance.url + path, headers, body)
            except (HttpError, TimeoutError, ValueError) as error:
                raise _as_ours(error) from None
            del body  # which may be megabytes, and an answer takes long
            try:
                if reply.status != 200:
                    raise await self._refusal(reply)
                yield reply
            finally:
                reply.close()

    async def read(self, reply: Reply, deadline: float) -> bytes:
        """Return what has come of a reply, b"" at its end, waiting until `deadline` (the loop's clock).

        Raises UpstreamFailed.
        """
        try:
            return await reply.read(deadline)
        except (HttpError, TimeoutError) as error:
            raise _as_ours(error) from None

    async def passed_through(
        self, instance: Instance, path: str, body: Body, *, patience_s: float = 0.0
    ) -> AsyncGenerator[list[Head | bytes]]:
        """Yield a reply's Head once its first bytes came, and the bytes in batches.

        Raises ControllerError.
        """
        clock = asyncio.get_running_loop().time
        async with self.open(instance, path, body, patience_s=patience_s) as reply:
            size = 0
            limit_s = self.first_s + patience_s
            while data := await self.read(reply, clock() + limit_s):
                begins, limit_s = not size, self.silence_s
                size += len(data)
                self.check_size(size)
                head = Head(reply.headers.get("content-type", "application/octet-stream"))
                yield [head, data] if begins else [data]
        if not size:
            raise nonsense("The model gave an empty answer. Ask again.")

    @property
    def first_s(self) -> float:
        """How long an engine may take for the first byte, and for the first word."""
        return self._settings.first_byte_timeout_s

    @property
    def silence_s(self) -> float:
        """How long it may be silent after that."""
        return self._settings.silence_timeout_s

    def check_size(self, size: int) -> None:
        """Raise UpstreamFailed for an answer of more bytes than are taken."""
        if size > self._settings.max_answer_bytes:
            raise UpstreamFailed(
                "answer_too_large",
                f"The answer is larger than {self._settings.max_answer_bytes:,} bytes, and was stopped. "
                "Ask for a shorter one.",
                again=False,
            )

    async def _refusal(self, reply: Reply) -> ControllerError:
        try:
            return await refusal(reply, asyncio.get_running_loop().time() + self.silence_s)
        except (HttpError, TimeoutError) as error:
            return _as_ours(error)


def broken_off() -> UpstreamFailed:
    """Return the error for an engine that went away."""
    return UpstreamFailed(BROKEN_OFF, "The model's engine broke off. Ask again in a moment.", broke=True)


def nonsense(message: str) -> UpstreamFailed:
    """Return the error for a reply that makes no sense; another one may."""
    return UpstreamFailed(NONSENSE, message)


def _as_ours(error: Exception) -> UpstreamFailed:
    """Return what the failure of a connection means to a caller."""
    if isinstance(error, TimeoutError):
        return UpstreamFailed("upstream_timeout", "The model did not answer in time. Ask again.")
    if isinstance(error, Unreachable):
        return UpstreamFailed(
            "upstream_unreachable", "The model's engine cannot be reached. Ask again in a moment.", broke=True
        )
    return broken_off()
