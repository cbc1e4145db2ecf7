"""One question and its answer, asked over the wire itself or as the pages ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from benchmarks.load.answers import Tag
from benchmarks.load.questions import MODEL, PATH, Host, chat
from benchmarks.load.stream import WORDS, Answer, Connection
from ui.client import Client, new_http
from ui.visitor import Visitor
from ui.wire import ClientError, Done, Token

_TIMEOUT_S = 150.0  # of silence: longer than a queue and an engine's first word take together
_CONNECT_S = 3.0
_LONGEST = 2_000  # tokens

Ending = tuple[str, str]
"""whole, told or wrong; and in a word why."""


@dataclass
class Ask:
    """A question, and what is seen of its answer while it comes."""

    tag: Tag
    sampling: Mapping[str, Any]
    flow: Callable[[], None]
    pause_s: float = 0.0
    since: float = field(default_factory=time.monotonic)

    def word(self) -> None:
        """Note that words have come."""
        now = time.monotonic()
        self.pause_s = max(self.pause_s, now - self.since)
        self.since = now
        self.flow()

    def stopped(self, why: str, text: str) -> Ending:
        """What an answer is that did not come to its end, which its asker knows."""
        is_right = self.tag.text().startswith(text)
        return ("told", why) if is_right else ("wrong", f"{why}, after wrong tokens")


class Asker(Protocol):
    """One visitor."""

    def __init__(self, visitor: str) -> None: ...

    async def connect(self, host: str, port: int) -> None:
        """Be ready to ask there. Raises OSError."""

    async def ask(self, ask: Ask) -> Ending:
        """Ask, and read to the end."""


class Clocked(Connection):
    """A connection that notes when words come."""

    asking: Ask | None = None
    body = bytearray()

    def data_received(self, data: bytes) -> None:
        """Take bytes in."""
        if self._answer is not None:
            self.body = self._answer.body
        if self.asking and WORDS.search(data):
            self.asking.word()
        super().data_received(data)


class Raw:
    """Asks over a connection of its own, which it keeps."""

    def __init__(self, visitor: str) -> None:
        self._visitor = visitor
        self._connection: Clocked | None = None
        self._host = Host("", 0)

    async def connect(self, host: str, port: int) -> None:
        """Keep the connection, or make a new one. Raises OSError."""
        if (
            self._connection
            and self._connection.is_open
            and (host, port) == (self._host.host, self._host.port)
        ):
            return
        self._host = Host(host, port)
        async with asyncio.timeout(_CONNECT_S):
            _, self._connection = await asyncio.get_running_loop().create_connection(Clocked, host, port)

    async def ask(self, ask: Ask) -> Ending:
        """Ask, and read to the end."""
        connection = self._connection
        assert connection
        connection.asking, connection.body = ask, bytearray()
        body = chat(ask.tag, **ask.sampling, max_tokens=_LONGEST)
        try:
            answer = await connection.ask(self._host.post(PATH, body, visitor=self._visitor), _TIMEOUT_S)
        except TimeoutError:
            return "wrong", "silence"
        except OSError:
            return ask.stopped("connection cut", _text(connection.body))
        if not (wrong := answer.wrong(ask.tag)):
            return "whole", ""
        if answer.status != 200 or answer.code:
            return ask.stopped(wrong, answer.text)
        return "wrong", wrong


class Page:
    """Asks by `ui.client`, as a page does."""

    def __init__(self, visitor: str) -> None:
        self._visitor = visitor
        self._url = ""

    async def connect(self, host: str, port: int) -> None:
        """See whether somebody is there. Raises OSError."""
        async with asyncio.timeout(_CONNECT_S):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
        self._url = f"http://{host}:{port}"

    async def ask(self, ask: Ask) -> Ending:
        """Ask, and read to the end."""
        return await asyncio.to_thread(self._ask, ask, asyncio.get_running_loop())

    def _ask(self, ask: Ask, loop: asyncio.AbstractEventLoop) -> Ending:
        text, finish = "", ""
        messages = [{"role": "user", "content": f"Please answer. {ask.tag}"}]
        with new_http() as http:
            client = Client(lambda: self._url, Visitor(self._visitor), http, local=False)
            stream = client.chat(MODEL, messages, _TIMEOUT_S, **ask.sampling, max_tokens=_LONGEST)
            try:
                for event in stream:
                    if isinstance(event, Token):
                        text += event.text
                        loop.call_soon_threadsafe(ask.word)
                    elif isinstance(event, Done):
                        finish = event.finish_reason
            except ClientError as error:
                return ask.stopped(error.code, text) if error.code != "timeout" else ("wrong", "silence")
        if (text, finish) == (ask.tag.text(), "stop"):
            return "whole", ""
        return "wrong", "wrong tokens" if text != ask.tag.text() else "no finish reason"


def _text(body: bytearray) -> str:
    return Answer(0.0, body=body).text
