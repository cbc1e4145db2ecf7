"""One streamed answer of the mock engine, and what can go wrong with it on the way."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING

from benchmarks.load.answers import Tag
from benchmarks.load.server import Connection

if TYPE_CHECKING:
    from benchmarks.load.mock import Mock

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_CHUNK = (
    '{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1,"model":"bench","choices":[%s]%s}'
)
_CHOICE = '{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}'
_MALFORMED = b'data: {"choices": [{"delta": {"content": "lost\n\n'
_CONTINUES = re.compile(rb'"continue_final_message": ?true')


class Stream:
    """One answer, token by token."""

    def __init__(self, mock: Mock, connection: Connection, tag: Tag) -> None:
        """Answer on a connection; a mock that is odd sends letters in halves."""
        self._mock, self._connection, self._tag = mock, connection, tag
        self._next = _already_said(connection, tag, mock.odd)
        self._held = b""
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Send the head and the first token; all of it at once where no time passes between tokens."""
        mock = self._mock
        mock.active += 1
        mock.most = max(mock.most, mock.active)
        self._connection.on_lost = self._lost
        role = _framed(_delta('{"role":"assistant","content":""}'))
        if self._tag.gap_ms or mock.fault:
            self._connection.transport.write(_HEAD + role)
            self._step()
            return
        tokens = [self._token(number, 1) for number in range(self._next, self._tag.tokens)]
        self._connection.transport.write(b"".join([_HEAD, role, *tokens, self._end()]))
        self._over()

    def _step(self) -> None:
        connection, mock = self._connection, self._mock
        if mock.fault and self._goes_wrong(mock.fault):
            return
        if self._next >= self._tag.tokens:
            connection.transport.write(self._held + self._end())
            self._over()
            return
        data = self._held + self._token(self._next, mock.join)
        self._next += mock.join
        # A letter of three bytes in two packets: readers must not decode each by itself.
        at = data.rfind("字".encode()) + 1 if mock.odd else len(data)
        self._held = data[at:] if at else b""
        connection.transport.write(data[:at] if at else data)
        gap_s = self._tag.gap_ms / 1_000 * mock.join
        self._timer = asyncio.get_running_loop().call_later(gap_s, self._step)

    def _goes_wrong(self, fault: str) -> bool:
        """Whether the answer has come to its end by it."""
        if self._mock.dice.random() > 0.3 and self._next < self._tag.tokens // 2:
            return False
        self._mock.struck += 1
        if fault == "cut":
            self._connection.cut()
        elif fault == "malformed":
            self._connection.transport.write(self._held + _framed(_MALFORMED))
            self._held = b""
        return fault in ("cut", "stall")

    def _token(self, number: int, join: int) -> bytes:
        """Events of tokens from a number on, `join` of them in one."""
        numbers = range(number, min(number + join, self._tag.tokens))
        text = "".join(self._tag.token(one, self._mock.odd) for one in numbers)
        return _framed(_delta(f'{{"content":"{text}"}}'))

    def _end(self) -> bytes:
        usage = ',"usage":{"prompt_tokens":7,"completion_tokens":%d,"total_tokens":%d}'
        counts = usage % (self._tag.tokens, self._tag.tokens + 7)
        last = _framed(_delta("{}", '"stop"')) + _framed(f"data: {_CHUNK % ('', counts)}\n\n".encode())
        return last + _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"

    def _over(self) -> None:
        self._mock.active -= 1
        self._connection.on_lost = None

    def _lost(self) -> None:
        self._mock.left += 1
        self._mock.active -= 1
        if self._timer:
            self._timer.cancel()


def _delta(delta: str, finish: str = "null") -> bytes:
    return f"data: {_CHUNK % (_CHOICE % (delta, finish), '')}\n\n".encode()


def _framed(data: bytes) -> bytes:
    """As one chunk of HTTP."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def _already_said(connection: Connection, tag: Tag, odd: bool) -> int:
    """Return how many tokens the question brings along, for an answer that is to go on from them."""
    if not _CONTINUES.search(connection.tail()):
        return 0
    said = json.loads(connection.body())["messages"][-1]["content"]
    if isinstance(said, list):
        said = "".join(part.get("text", "") for part in said)
    # Where words were cut in a token's middle the count is the number of whole ones, as an engine's would be.
    return len(str(said).split(" ")) - 1 if str(said).endswith(" ") else len(str(said).split(" "))
