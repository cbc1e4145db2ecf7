"""A raw HTTP client: it sends whatever bytes it is given, and reads the first answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

from benchmarks.fuzzing.message import Message

HANGS_S = 15.0  # longer than this no answer may take
_WAITS_S = 0.25  # for an answer to a request that is no HTTP, before we say that no more comes
_READ_AHEAD = 2**20


@dataclass
class Answer:
    """The answer to one request; status 0 when the connection was closed without one."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0
    hung: bool = False
    cut: bool = False  # in the middle of the answer


class Line:
    """One connection, kept for the next request where that is possible."""

    def __init__(self, port: int) -> None:
        """Connect when the first request comes."""
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, message: Message, raw: bytes) -> Answer:
        """Send `raw` and read the answer, which `message` tells how to expect."""
        began, answer = time.perf_counter(), Answer()
        try:
            async with asyncio.timeout(HANGS_S):
                await self._ask(message, raw, answer)
        except TimeoutError:
            answer.hung = True
        except (OSError, EOFError, asyncio.LimitOverrunError, ValueError):
            answer.cut = answer.status > 0
        answer.seconds = time.perf_counter() - began
        ends = answer.headers.get(b"connection", b"").lower() == b"close"
        if message.framing != "right" or ends or answer.hung or answer.cut or not answer.status:
            await self.close()
        return answer

    async def close(self) -> None:
        """End the connection."""
        if self._writer:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
        self._reader = self._writer = None

    async def _ask(self, message: Message, raw: bytes, answer: Answer) -> None:
        if not self._reader or not self._writer or self._reader.at_eof():
            await self.close()
            self._reader, self._writer = await asyncio.open_connection(
                "127.0.0.1", self._port, limit=_READ_AHEAD
            )
        reader, writer = self._reader, self._writer
        writer.write(raw)
        with contextlib.suppress(OSError):  # it may answer and close before it has read everything
            await writer.drain()
        if message.framing != "broken":
            await _read(reader, answer, message.is_head)
            return
        reading = asyncio.create_task(_read(reader, answer, message.is_head))
        try:
            await asyncio.wait({reading}, timeout=_WAITS_S)
            if not reading.done() and not answer.status and writer.can_write_eof():
                with contextlib.suppress(OSError):
                    writer.write_eof()
            await reading
        finally:
            reading.cancel()


async def _read(reader: asyncio.StreamReader, answer: Answer, is_head: bool) -> None:
    """Read one answer, those in between left out. Raises EOFError when it ends too early."""
    status = 0
    while status < 200:
        top, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
        status = int(top.split(b" ")[1])
        pairs = (line.partition(b":") for line in lines)
        answer.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    answer.status = status
    if is_head or status in (204, 304):
        return
    if answer.headers.get(b"transfer-encoding") == b"chunked":
        while size := int(await reader.readuntil(b"\r\n"), 16):
            answer.body += (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
    elif length := answer.headers.get(b"content-length"):
        answer.body = await reader.readexactly(int(length))
    else:
        answer.body = await reader.read()
