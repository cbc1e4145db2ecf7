"""One connection to an engine: requests go out, and replies come in, one after another."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import aclosing
from typing import cast

from backend.http1.body import Body
from backend.http1.errors import Stale
from backend.http1.reply import READ_AHEAD_BYTES, Reply


class Connection(asyncio.Protocol):
    """Carries one request at a time; tells its pool when it is `free` again, and when it is `lost`."""

    def __init__(self, free: Callable[[Connection], None], lost: Callable[[Connection], None]) -> None:
        self._free = free
        self._lost = lost
        self._transport: asyncio.Transport
        self._reply: Reply | None = None
        self._holds = False  # reads no more for now
        self._full = False  # takes no more for now
        self._sending = False
        self._expiry: asyncio.TimerHandle | None = None

    async def ask(self, head: bytes, body: Body) -> Reply:
        """Send a request, return the reply once it has begun. Raises Broken.

        A reply that begins before the whole body is sent ends the sending. Cancelling cuts the connection.
        """
        if not self.is_open:
            raise Stale("The connection was closed.")
        if self._expiry:
            self._expiry.cancel()
        self._reply = reply = Reply(self)
        try:
            if callable(body.pieces):
                self._transport.write(head)
                self._sending = True
                await self._send(body, reply)
            else:
                self._transport.writelines([head, *body.pieces])
            while not reply.begun and not reply.ended:
                await reply.news()
            if not reply.begun:
                reply.check()
        except BaseException:
            reply.close()
            raise
        return reply

    async def _send(self, body: Body, reply: Reply) -> None:
        assert callable(body.pieces)
        async with aclosing(body.pieces()) as pieces:
            async for piece in pieces:
                self._transport.write(piece)
                while self._full and not reply.begun and not reply.ended:
                    await reply.news()
                if reply.begun or reply.ended:
                    return
        self._sending = False

    def hold(self) -> None:
        """Read no more for now, so that the engine has to wait."""
        if not self._holds and not self._transport.is_closing():
            self._holds = True
            self._transport.pause_reading()

    def read_on(self) -> None:
        """Read again."""
        if self._holds:
            self._holds = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def done(self, reusable: bool) -> None:
        """Part with the reply; serve again unless some of the request or of the reply is still on its way."""
        self._reply = None
        self.read_on()
        unsent = self._sending or self._transport.get_write_buffer_size() > 0
        if reusable and not unsent and not self._transport.is_closing():
            self._free(self)
        else:
            self.abort()

    def rest(self, seconds: float) -> None:
        """End unless a request comes in time."""
        self._expiry = asyncio.get_running_loop().call_later(seconds, self.abort)

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    @property
    def is_open(self) -> bool:
        """Whether a request can still be sent."""
        return not self._transport.is_closing()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Hand bytes to the reply; those that nobody asked for must not become the beginning of the next."""
        if self._reply:
            self._reply.feed(data)
        else:
            self.abort()

    def eof_received(self) -> None:
        """Take note that the engine says no more."""
        if self._reply:
            self._reply.end(None)

    def connection_lost(self, error: Exception | None) -> None:
        """Take note of the end."""
        if self._expiry:
            self._expiry.cancel()
        if self._reply and error and (data := self._last_words()):
            self._reply.feed(data)
        if self._reply:
            self._reply.end(error)
        self._lost(self)

    def pause_writing(self) -> None:
        """Wait with the next piece."""
        self._full = True

    def resume_writing(self) -> None:
        """Go on sending."""
        self._full = False
        if self._reply:
            self._reply.wake()

    def _last_words(self) -> bytes:
        """Return what came before the connection broke under our writing.

        An engine that refuses a large body says why and hangs up; that is still in the socket, which is open
        until the loop has told us of its end.
        """
        if self._transport.get_extra_info("ssl_object"):
            return b""
        try:
            return os.read(self._transport.get_extra_info("socket").fileno(), READ_AHEAD_BYTES)
        except OSError:
            return b""
