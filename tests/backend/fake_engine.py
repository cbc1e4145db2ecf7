"""A small OpenAI-like engine that misbehaves on purpose: real HTTP on loopback, every byte of it scripted.

`python -m tests.backend.fake_engine` runs one as a process, as the controller starts its own engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Behaviour = Callable[["Exchange"], Awaitable[None]]


@dataclass
class Exchange:
    """One request and the wire to answer it on."""

    path: str
    headers: dict[str, str]
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    left: threading.Event = field(default_factory=threading.Event)

    @property
    def json(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.body)
        return body

    async def head(self, status: int = 200, content_type: str = "text/event-stream") -> None:
        fields = f"content-type: {content_type}\r\ntransfer-encoding: chunked"
        self.writer.write(f"HTTP/1.1 {status} X\r\n{fields}\r\n\r\n".encode())
        await self.writer.drain()

    async def send(self, data: bytes) -> None:
        self.writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await self.writer.drain()

    async def event(self, value: Any) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        await self.send(f"data: {text}\n\n".encode())

    async def token(self, text: str) -> None:
        await self.event(chunk({"content": text}))

    async def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def until_left(self) -> None:
        """Say nothing more until the caller closes the connection."""
        await self.reader.read()
        self.left.set()


def chunk(delta: dict[str, str], finish: str | None = None, **extra: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "x", "object": "chat.completion.chunk", "choices": [choice], **extra}


def says(*tokens: str, heard: Sequence[str] = (), finish: str = "stop", gap_s: float = 0.0) -> Behaviour:
    """A whole, well-formed answer."""

    async def behave(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.event(chunk({"role": "assistant", "content": ""}))
        for words in heard:
            await exchange.event(chunk({}, meralion={"heard": words}))
        for token in tokens:
            await exchange.token(token)
            await asyncio.sleep(gap_s)
        timing = {"timing": {"asr_ms": 12.0, "llm_ms": 34.0, "audio_s": 1.0}}
        await exchange.event(chunk({}, finish, meralion=timing))
        usage = {"prompt_tokens": 7, "completion_tokens": len(tokens), "total_tokens": 7 + len(tokens)}
        await exchange.event({"id": "x", "choices": [], "usage": usage})
        await exchange.event("[DONE]")
        await exchange.end()

    return behave


def refuses(status: int, message: str = "no", code: str = "bad") -> Behaviour:
    """An OpenAI error."""

    async def behave(exchange: Exchange) -> None:
        await exchange.head(status, "application/json")
        await exchange.send(json.dumps({"error": {"message": message, "type": "x", "code": code}}).encode())
        await exchange.end()

    return behave


def breaks_after(*tokens: str) -> Behaviour:
    """Cut the connection, before any token when there are none."""

    async def behave(exchange: Exchange) -> None:
        if tokens:
            await exchange.head()
        for token in tokens:
            await exchange.token(token)
        exchange.writer.transport.abort()

    return behave


def ends_after(*tokens: str) -> Behaviour:
    """End the response politely but without a finish reason."""

    async def behave(exchange: Exchange) -> None:
        await exchange.head()
        for token in tokens:
            await exchange.token(token)
        await exchange.end()

    return behave


def stalls_after(*tokens: str) -> Behaviour:
    """Say no more after these tokens; with none, not even the headers."""

    async def behave(exchange: Exchange) -> None:
        if tokens:
            await exchange.head()
        for token in tokens:
            await exchange.token(token)
        await exchange.until_left()

    return behave


def sends(
    *pieces: bytes, content_type: str = "text/event-stream", end: bool = True, gap_s: float = 0.005
) -> Behaviour:
    """Exactly these bytes, each in a packet of its own."""

    async def behave(exchange: Exchange) -> None:
        await exchange.head(content_type=content_type)
        for piece in pieces:
            await exchange.send(piece)
            await asyncio.sleep(gap_s)
        if end:
            await exchange.end()
        else:
            exchange.writer.transport.abort()

    return behave


def recital(question: str, length: int = 20) -> list[str]:
    """What `recites` answers: distinct words that belong to one question, so that mixed answers show."""
    name = hashlib.sha256(question.encode()).hexdigest()[:6]
    return [f"{name}.{number} " for number in range(length)]


def recites(
    *,
    length: int = 20,
    gap_s: float = 0.0,
    by: int = 1,
    fault_at: int | None = None,
    fault: Literal["cut", "stall", "extra line", "broken line"] = "cut",
) -> Behaviour:
    """The recital of the question, `by` words at a time, or its rest where the answer was begun already."""

    async def behave(exchange: Exchange) -> None:
        messages = exchange.json["messages"]
        begun = ""
        if messages[-1]["role"] == "assistant":
            assert exchange.json["continue_final_message"] and not exchange.json["add_generation_prompt"]
            begun = messages.pop()["content"]
        text = "".join(recital(messages[-1]["content"], length))
        assert text.startswith(begun)
        rest = text[len(begun) :]
        words = re.findall(r" ?\S+ ?", rest)[: exchange.json.get("max_tokens")]
        await exchange.head()
        await exchange.event(chunk({"role": "assistant", "content": ""}))
        for at in range(0, len(words), by):
            if at == fault_at:
                if fault == "cut":
                    exchange.left.set()
                    exchange.writer.transport.abort()
                    return
                if fault == "stall":
                    await exchange.until_left()
                    return
                await exchange.event('{"id": "x", "choices": [{"delta": {"content": "lo')
                if fault == "broken line":
                    continue
            await exchange.token("".join(words[at : at + by]))
            await asyncio.sleep(gap_s)
        await exchange.event(chunk({}, "stop" if "".join(words).strip() == rest.strip() else "length"))
        usage = {"prompt_tokens": 7, "completion_tokens": len(words), "total_tokens": 7 + len(words)}
        await exchange.event({"id": "x", "choices": [], "usage": usage})
        await exchange.event("[DONE]")
        await exchange.end()

    return behave


class FakeEngine:
    """Serves /v1/models truthfully and everything else as the next behaviour says."""

    def __init__(
        self,
        *models: str,
        capabilities: dict[str, Any] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.models = models or ("tiny",)
        self.capabilities = capabilities or {}
        self.exchanges: list[Exchange] = []
        self.default = says("Hello", " world")
        self.script: list[Behaviour] = []
        self.host = host
        self.port = port
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.open()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def open(self) -> None:
        """Listen, on the same port as before if there was one."""
        starting = asyncio.start_server(self._serve, self.host, self.port)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result()
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Go away: connections are cut, and then refused."""

        async def stop() -> None:
            assert self._server is not None
            self._server.close()
            for writer in self._writers:
                writer.transport.abort()

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result()

    def die(self) -> None:
        """Go away as a killed process does: its door is shut, and what it was saying is cut."""
        self.close()

        def cut() -> None:
            for exchange in self.exchanges:
                exchange.writer.transport.abort()

        self._loop.call_soon_threadsafe(cut)

    def shut_down(self) -> None:
        self.close()

        async def cancel() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(cancel(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._one(reader, writer):
                pass
        self._writers.discard(writer)
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        exchange = Exchange(head[0].split(" ")[1], headers, body, reader, writer)
        if exchange.path == "/v1/models":
            cards = [{"id": name, "meralion": {"capabilities": self.capabilities}} for name in self.models]
            await exchange.head(content_type="application/json")
            await exchange.send(json.dumps({"object": "list", "data": cards}).encode())
            await exchange.end()
            return True
        self.exchanges.append(exchange)
        behave = self.script.pop(0) if self.script else self.default
        await behave(exchange)
        return not writer.transport.is_closing() and not exchange.left.is_set()


if __name__ == "__main__":
    if "--broken" in sys.argv:
        sys.stderr.write("The weights are missing: run `make demo` to install them.\n")
        sys.exit(2)
    engine = FakeEngine("tiny", "voice")
    engine.default = says(str(os.getpid()))
    if "--slow" in sys.argv:
        engine.default = says(str(os.getpid()), *["."] * 2_000, gap_s=0.02)
    sys.stdout.write(json.dumps({"event": "ready", "host": "127.0.0.1", "port": engine.port}) + "\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()
