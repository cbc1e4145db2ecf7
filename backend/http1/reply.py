"""A reply as it comes in: a bounded head, then a body read in batches, and held back while nobody reads."""

from __future__ import annotations

import asyncio
from typing import Protocol

import httptools

from backend.http1.errors import Broken, HttpError, Stale

MAX_HEAD_BYTES = 64 * 2**10  # all headers of a reply, those of interim replies and after the body too
READ_AHEAD_BYTES = 256 * 2**10  # that nobody has read yet; beyond it the engine has to wait
_REST_BYTES = 64 * 2**10  # dropped after what matters, so that the connection can serve again
_REST_S = 1.0
_STALE_S = 1.0  # an engine that hangs up later than this had begun to work


class Carrier(Protocol):
    """The connection that a reply comes by."""

    def hold(self) -> None:
        """Read no more for now."""

    def read_on(self) -> None:
        """Read again."""

    def done(self, reusable: bool) -> None:
        """The reply has ended; the connection may serve again if `reusable`, else it must end."""


class Reply:
    """One reply; once it has begun, its status and headers (names in lower case) are there."""

    def __init__(self, carrier: Carrier) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.begun = False
        self._carrier = carrier
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._asked_at = self._loop.time()
        self._waiter: asyncio.Future[None] | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._head_size = 0
        self._framing = 0  # bytes since the last of the body
        self._touched = False
        self._whole = False
        self._until_close = False
        self._reusable = False
        self._error: HttpError | None = None
        self._rest: asyncio.TimerHandle | None = None

    @property
    def ended(self) -> bool:
        """Whether no more will come, be it whole or broken."""
        return self._whole or self._error is not None

    async def read(self, deadline: float) -> bytes:
        """Return all of the body that has come since the last call, b"" at its end.

        Waits until `deadline`, in seconds on the loop's clock. Raises Broken or TimeoutError.
        """
        while not self._chunks and not self.ended:
            await self.news(deadline)
        if self._chunks:
            data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
            self._chunks.clear()
            self._size = 0
            if not self.ended:
                self._carrier.read_on()
            return data
        self.check()
        return b""

    def check(self) -> None:
        """Raise what broke the reply, if anything did."""
        if self._error:
            raise self._error

    def skip_rest(self) -> None:
        """Let the reply end by itself: little can follow, and then the connection serves again."""
        self._chunks.clear()
        if not self.ended and self._rest is None:
            self._size = 0
            self._rest = self._loop.call_later(_REST_S, self.fail, Broken("It does not end."))
            self._carrier.read_on()

    def close(self) -> None:
        """Cut the connection unless the reply is whole: the engine learns at once that nobody waits."""
        if self._rest is None:
            self.fail(Broken("We left."))

    async def news(self, deadline: float | None = None) -> None:
        """Wait until something has come or ended, or more can be written. Raises TimeoutError."""
        self._waiter = waiter = self._loop.create_future()
        timer = None if deadline is None else self._loop.call_at(deadline, _expire, waiter)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer:
                timer.cancel()

    def wake(self) -> None:
        """End the wait for news."""
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def feed(self, data: bytes) -> None:
        """Take in what came over the wire."""
        self._touched = True
        self._framing += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._reusable = False
            self.fail(Broken(f"Not HTTP as we asked for it: {error.__context__ or error}"))
        if self._whole:
            self._finish()
        elif self._framing > MAX_HEAD_BYTES:
            self.fail(Broken("Headers without an end."))
        elif self._size > READ_AHEAD_BYTES and not self._error:
            self._carrier.hold()
        self.wake()

    def end(self, error: BaseException | None) -> None:
        """Take note that the connection has ended, which also ends a reply of unknown length."""
        if error is None and self._until_close:
            self._whole = True
            self._finish()
            self.wake()
        elif self._touched or self._loop.time() - self._asked_at > _STALE_S:
            self.fail(Broken("The connection was cut."))
        else:
            self.fail(Stale("The connection was closed."))

    def fail(self, error: HttpError) -> None:
        """End here, and the connection with it."""
        if not self.ended:
            self._error = error
            self._reusable = False
            self._finish()
            self.wake()

    def _finish(self) -> None:
        if self._rest:
            self._rest.cancel()
        del self._parser  # it holds us as we hold it
        self._carrier.done(self._reusable)

    # What the parser calls. What these raise becomes the reply's error.

    def on_message_begin(self) -> None:
        """Notice a second reply, which nobody asked for."""
        self._reusable = self._reusable and not self._whole

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; those after the body are counted and dropped."""
        self._head_size += len(name) + len(value)
        if self._head_size > MAX_HEAD_BYTES:
            raise Broken("Too many headers.")
        if not self.begun:
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Look how the body will come."""
        if self._whole:
            return
        status = self._parser.get_status_code()
        if status == 101:
            raise Broken("It speaks another protocol.")
        if status < 200:  # an interim reply; the real one follows
            self.headers.clear()
            return
        transfer = self.headers.get("transfer-encoding", "").lower()
        if (
            transfer not in ("", "chunked")
            or self.headers.get("content-encoding", "identity").lower() != "identity"
        ):
            raise Broken("It is encoded, and we asked for it as it is.")
        self.status, self.begun = status, True
        self._until_close = not transfer and "content-length" not in self.headers
        self._reusable = self._parser.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body, or count it when it is skipped."""
        if self._whole:
            return
        self._framing = 0
        self._size += len(data)
        if self._rest is None:
            self._chunks.append(data)
        elif self._size > _REST_BYTES:
            raise Broken("Too much follows.")

    def on_message_complete(self) -> None:
        """Take note of the end; that of an interim reply is none."""
        self._whole = self.begun


def _expire(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())
