"""What the routes share: who asks, the controller, and answers to callers who may leave at any time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backend import identity, logs, sse
from backend.budget import Share
from backend.controller import Controller
from backend.errors import ControllerError, internal
from backend.timing import Timing

T = TypeVar("T")


def controller(request: Request) -> Controller:
    """Return the one that serves this app."""
    house: Controller = request.app.state.controller
    return house


# Each of these is async though nothing is awaited: FastAPI calls what is not in a thread.


async def _house(request: Request) -> Controller:
    return controller(request)


House = Annotated[Controller, Depends(_house)]


def share_of(request: Request) -> Share:
    """Return room for what the request brings; it is given back when the request is over."""
    share = request.state.share = controller(request).uploads.share()
    return share


async def _share(request: Request) -> Share:
    return share_of(request)


HeldShare = Annotated[Share, Depends(_share)]


async def _owner(request: Request) -> str:
    return identity.caller(request).owner


Owner = Annotated[str, Depends(_owner)]
"""Who owns what this request brings or asks for."""


COMMENT_S = 10.0


class ClientGone(Exception):
    """The caller left before the answer began; nobody reads what we would say."""


class Stream(Response):
    """A streamed answer. Its source is closed at once when the caller leaves, not when it is collected."""

    def __init__(
        self,
        content: AsyncGenerator[bytes],
        head: Callable[[], tuple[str, Mapping[str, str]]],
        *,
        events: bool = False,
    ) -> None:
        """`head` gives content type and headers, and is asked when the first bytes have come.

        Until then an error of `content` has a status of its own; later it becomes the last of the events, or
        where there are none, a cut connection. Where events are silent for long a comment is sent, so that no
        proxy on the way takes the connection for dead: before the first one too, if `events` says so.
        """
        self._content = content
        self._head = head
        self._events = events
        self.background = None  # which FastAPI looks for
        self._has_begun = False
        self._timer: asyncio.TimerHandle | None = None
        self._commenting: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. Raises ClientGone when the caller leaves before it begins."""
        try:
            await unless_gone(receive, self._send(scope, send))
        except ClientGone:
            if not self._has_begun:
                raise

    async def _send(self, scope: Scope, send: Send) -> None:
        self._listen(send)
        try:
            async with aclosing(self._content) as content:
                async for piece in content:
                    await self._write(send, piece)
        except Exception as error:
            if not self._has_begun:
                raise
            told = error if isinstance(error, ControllerError) else internal()
            scope["state"]["note"]["code"] = told.code
            logs.event("answer failed", level=logging.WARNING, code=told.code, reason=_reason(error))
            if not self._events:
                raise
            await self._write(send, sse.event(told.body()))
        finally:
            if self._timer:
                self._timer.cancel()
            if self._commenting:
                self._commenting.cancel()
        await send({"type": "http.response.body", "body": b""})

    async def _write(self, send: Send, piece: bytes) -> None:
        self._listen(send)
        if not self._has_begun:
            self._has_begun = True
            content_type, headers = self._head()
            self._events = content_type.startswith("text/event-stream")
            fields = {"content-type": content_type, "cache-control": "no-cache", **headers}
            raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in fields.items()]
            await send({"type": "http.response.start", "status": 200, "headers": raw})
        await send({"type": "http.response.body", "body": piece, "more_body": True})

    def _listen(self, send: Send) -> None:
        """Say something if nothing is said for long from now on."""
        if self._timer:
            self._timer.cancel()
        if self._events:
            self._timer = asyncio.get_running_loop().call_later(COMMENT_S, self._break_silence, send)

    def _break_silence(self, send: Send) -> None:
        self._commenting = asyncio.create_task(self._write(send, sse.COMMENT))


def _reason(error: Exception) -> str | None:
    return None if isinstance(error, ControllerError) else logs.where(error)


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Do the work unless the caller leaves first. Raises ClientGone."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_left(receive))
    gone.add_done_callback(lambda _: task.cancel())
    try:
        return await task
    except asyncio.CancelledError:
        if gone.done() and not gone.cancelled():
            raise ClientGone from None
        raise
    finally:
        gone.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def clocked(request: Request, timing: Timing) -> None:
    """Let the metrics have these figures when the answer has ended; its model has been noted before."""
    request.state.timing = timing


def note(request: Request, **fields: str | float | None) -> None:
    """Add fields to the request's line in the log."""
    request.state.note.update(fields)
