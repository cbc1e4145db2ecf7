"""A raw HTTP/1.1 client that clocks streams: it costs so little that the gateway is what is measured."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import httptools

from benchmarks.load.answers import Tag

WORDS = re.compile(rb'"content": ?"[^"]')
_CONTENT = re.compile(rb'"content": ?"((?:[^"\\]|\\.)*)"')
_FINISH = re.compile(rb'"finish_reason": ?"([a-z_]+)"')


@dataclass
class Answer:
    """One answer as it came. Times are `time.perf_counter()` seconds."""

    sent: float
    status: int = 0
    first: float = 0.0
    ended: float = 0.0
    whole: bool = False
    body: bytearray = field(default_factory=bytearray)
    headers: dict[str, str] = field(default_factory=dict)
    moments: list[float] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The words of the stream, joined."""
        return json.loads(b'"%s"' % b"".join(_CONTENT.findall(self.body)))  # type: ignore[no-any-return]

    def wrong(self, tag: Tag, odd: bool = False) -> str:
        """Say what is wrong, or nothing: every token once and in order, a finish reason and [DONE]."""
        if self.status != 200:
            return f"status {self.status} {self.code}".rstrip()
        if self.code:
            return self.code
        text, wanted = self.text, tag.text(odd)
        if text != wanted:
            return "cut short" if wanted.startswith(text) else "wrong tokens"
        if _FINISH.findall(self.body) != [b"stop"]:
            return "no finish reason"
        if not self.whole or not self.body.rstrip().endswith(b"data: [DONE]"):
            return "no end"
        return ""

    @property
    def code(self) -> str:
        """The code of an error, in the stream or instead of it."""
        at = self.body.rfind(b'"error"')
        found = re.search(rb'"code": ?"?([A-Za-z0-9_]+)', self.body[at:]) if at >= 0 else None
        return "error" if at >= 0 and not found else found[1].decode() if found else ""


class Left(Exception):
    """We closed the connection on purpose."""


class Connection(asyncio.Protocol):
    """One kept-alive connection: one question at a time."""

    def __init__(self) -> None:
        """Unconnected."""
        self.transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self._over: asyncio.Future[None] | None = None
        self._leave_after = 0

    @classmethod
    async def to(cls, host: str, port: int) -> Connection:
        """Connect. Raises OSError."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    @property
    def is_open(self) -> bool:
        """Whether another question can be asked on it."""
        return self.transport is not None and not self.transport.is_closing()

    async def ask(self, pieces: Sequence[bytes], timeout_s: float = 120.0, leave_after: int = 0) -> Answer:
        """Send a request, which comes in pieces, and read its answer.

        `leave_after` so many reads of the stream the connection is closed. Raises Left then, TimeoutError,
        and ConnectionError when the other side ends it too early.
        """
        assert self.transport
        self._over = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._leave_after = leave_after
        self._answer = answer = Answer(time.perf_counter())
        self.transport.writelines(list(pieces))
        try:
            async with asyncio.timeout(timeout_s):
                await self._over
        except BaseException:
            self.close()
            raise
        finally:
            self._over = self._answer = None
        return answer

    def close(self) -> None:
        """Reset the connection."""
        if self.transport:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be open."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the question under way."""
        if self._over and not self._over.done():
            self._over.set_exception(ConnectionResetError("the connection ended in the middle of the answer"))

    def data_received(self, data: bytes) -> None:
        """Take bytes in."""
        answer = self._answer
        if answer is None:
            self.close()
            return
        now = time.perf_counter()
        answer.moments.append(now)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ConnectionError(f"the answer is no HTTP: {error}"))
            return
        if not answer.first and WORDS.search(answer.body):
            answer.first = now
        if self._leave_after and len(answer.moments) >= self._leave_after and not answer.whole:
            self.close()
            self._fail(Left())

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one in."""
        if self._answer:
            self._answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """Take a piece in."""
        if self._answer:
            self._answer.body += body

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if not self._answer or not self._over or self._over.done():
            return
        self._answer.status = self._parser.get_status_code()
        if self._answer.status < 200:  # 100 Continue is not it
            return
        self._answer.ended = time.perf_counter()
        self._answer.whole = True
        if not self._parser.should_keep_alive():
            self.close()
        self._over.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._over and not self._over.done():
            self._over.set_exception(error)
