"""What the routes share: who asks, the controller, and answers to callers who may leave at any time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from starlette.responses import StreamingResponse
from starlette.types import Send

from backend import identity
from backend.budget import Share
from backend.controller import Controller

T = TypeVar("T")


def _controller(request: Request) -> Controller:
    controller: Controller = request.app.state.controller
    return controller


House = Annotated[Controller, Depends(_controller)]


async def _share(house: House) -> AsyncGenerator[Share]:
    with house.uploads.share() as share:
        yield share


HeldShare = Annotated[Share, Depends(_share)]
"""Given back when the answer was sent, or nobody waits for it any more."""

Owner = Annotated[str, Depends(identity.scope_of)]


class ClientGone(Exception):
    """The caller left before the answer began; nobody reads what we would say."""


class Stream(StreamingResponse):
    """A streamed body whose source is closed at once when the caller leaves, not when it is collected."""

    def __init__(self, content: AsyncGenerator[bytes], media_type: str, headers: dict[str, str]) -> None:
        super().__init__(content, media_type=media_type, headers={"Cache-Control": "no-cache", **headers})
        self._content = content

    async def stream_response(self, send: Send) -> None:
        """Send the body."""
        async with aclosing(self._content):
            await super().stream_response(send)


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do the work unless the caller leaves first. Raises ClientGone."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.wait({task, gone})


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def note(request: Request, **fields: str | float | None) -> None:
    """Add fields to the request's line in the log."""
    request.state.note.update(fields)
