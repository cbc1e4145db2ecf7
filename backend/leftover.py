"""The rest of a body that nobody will read: after the answer a bounded part is let in, then the line is cut.

Closed at once, the caller would see a reset instead of the answer; kept open, it could send for ever.
"""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MAX_BYTES = 64 * 2**20
_MAX_S = 3.0
_TOO_SLOW = 408


class Leftover:
    """ASGI middleware, for requests with a body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        is_read = False
        sends_nothing = headers.get("expect", "").lower() == "100-continue"  # until it is asked to

        async def receive_and_note() -> Message:
            nonlocal is_read
            message = await receive()
            is_read = is_read or not message.get("more_body", False)
            return message

        async def send_and_end(message: Message) -> None:
            nonlocal sends_nothing
            if not is_read and message["type"] == "http.response.start":
                sends_nothing = sends_nothing or message["status"] == _TOO_SLOW
                MutableHeaders(scope=message)["connection"] = "close"
            elif not is_read and not message.get("more_body", False):
                await send({**message, "more_body": True})
                if not sends_nothing:
                    await _let_in(receive)
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        await self._app(scope, receive_and_note, send_and_end)


async def _let_in(receive: Receive) -> None:
    size = 0
    try:
        async with asyncio.timeout(_MAX_S):
            while size < _MAX_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        pass
