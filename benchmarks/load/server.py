"""The HTTP of the mock engine: requests in, answers out, on raw asyncio."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

import httptools

_TAIL_BYTES = 4_096  # of a body: the question's text comes last


class Connection(asyncio.Protocol):
    """One caller's connection: requests in, answers out."""

    def __init__(self, answer: Callable[[Connection], None], open_ones: set[Connection]) -> None:
        """Call `answer` for every request that has come whole; be among the open ones while it is open."""
        self._answer = answer
        self._open_ones = open_ones
        self._pieces: list[bytes] = []
        self.path = self.method = ""
        self.on_lost: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to read."""
        self.transport = cast(asyncio.Transport, transport)
        self._open_ones.add(self)
        self._parser = httptools.HttpRequestParser(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the answer under way that nobody reads it."""
        self._open_ones.discard(self)
        if self.on_lost:
            self.on_lost()

    def data_received(self, data: bytes) -> None:
        """Read on; what is no HTTP ends the connection."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.cut()

    def on_message_begin(self) -> None:
        """Forget the last request."""
        self._pieces = []
        self._url = b""

    def on_url(self, url: bytes) -> None:
        """Take the path in."""
        self._url += url

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body in."""
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """Answer."""
        self.path = self._url.decode("latin-1")
        self.method = self._parser.get_method().decode()
        self._answer(self)

    def body(self) -> bytes:
        """Return the request's body."""
        return b"".join(self._pieces)

    def tail(self) -> bytes:
        """Return its end: a large body is not joined for the sake of the words at its end."""
        last, size = len(self._pieces), 0
        while last and size < _TAIL_BYTES:
            last -= 1
            size += len(self._pieces[last])
        return b"".join(self._pieces[last:])[-2 * _TAIL_BYTES :]

    def asks_for_stream(self) -> bool:
        """Whether it says so, at either end of the body."""
        ends = (self._pieces[0] if self._pieces else b"") + self.tail()
        return b'"stream":true' in ends or b'"stream": true' in ends

    def say(self, status: int, body: dict[str, Any], fields: bytes = b"") -> None:
        """Answer with JSON."""
        self.whole(status, b"application/json", json.dumps(body).encode(), fields)

    def whole(self, status: int, kind: bytes, body: bytes, fields: bytes = b"") -> None:
        """Answer in one go."""
        head = b"HTTP/1.1 %d X\r\ncontent-type: %s\r\n%scontent-length: %d\r\n\r\n"
        self.transport.write(head % (status, kind, fields, len(body)) + body)

    def cut(self) -> None:
        """Reset the connection."""
        self.transport.abort()
