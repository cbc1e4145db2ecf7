"""The HTTP client against real sockets, on both event loops: what engines send, and the ways they break."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import socket
import ssl
import struct
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from backend.http1 import Body, Broken, Client, Reply, Unreachable, client, reply, tls
from backend.upload import Upload

Handler = Callable[["Caller"], Awaitable[None]]
Run = Callable[[Coroutine[Any, Any, None]], None]

HELLO = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
QUESTION = Body("application/json", [b'{"a":', b"1}"])
ENDLESS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class Caller:
    """One connection, seen from the engine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def request(self) -> tuple[bytes, bytes]:
        """A whole request: its head, its body."""
        head = await self.head()
        return head, await self.reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def until(holds: Callable[[], bool], limit_s: float = 10.0) -> None:
    async with asyncio.timeout(limit_s):
        while not holds():  # noqa: ASYNC110 - what happens in a socket sets no event
            await asyncio.sleep(0.001)


class Engine:
    """Listens, and does with each connection as `handler` says."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.callers: list[Caller] = []
        self.ended = 0  # connections that are no more
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = Caller(reader, writer)
        self.callers.append(caller)
        with contextlib.suppress(OSError, RuntimeError, asyncio.IncompleteReadError):
            await self._handler(caller)
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()
        self.ended += 1

    async def until_ended(self, count: int, limit_s: float = 10.0) -> None:
        await until(lambda: self.ended >= count, limit_s)


@contextlib.asynccontextmanager
async def engine(handler: Handler, host: str = "127.0.0.1", **options: Any) -> AsyncIterator[Engine]:
    one = Engine(handler)
    server = await asyncio.start_server(one.serve, host, 0, **options)
    port = server.sockets[0].getsockname()[1]
    one.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    try:
        yield one
    finally:
        server.close()
        for caller in one.callers:
            caller.writer.transport.abort()
        await one.until_ended(len(one.callers))


@contextlib.asynccontextmanager
async def calling(handler: Handler, **options: Any) -> AsyncIterator[tuple[Engine, Client]]:
    """An engine and a client; no connection outlives the client."""
    async with engine(handler, **options) as one:
        caller = Client(3.0)
        try:
            yield one, caller
        finally:
            await caller.close()
            assert caller.connections == 0


def answers(*parts: bytes, times: int = 100) -> Handler:
    """Give the same reply to every request, each part in a packet of its own."""

    async def handle(caller: Caller) -> None:
        for _ in range(times):
            await caller.request()
            for part in parts:
                await caller.say(part)
                await asyncio.sleep(0.001)

    return handle


def then_ends(*parts: bytes) -> Handler:
    """Answer one request, then close."""

    async def handle(caller: Caller) -> None:
        await answers(*parts, times=1)(caller)
        caller.writer.close()

    return handle


async def body_of(reply: Reply) -> bytes:
    found = b""
    with contextlib.closing(reply):
        while data := await reply.read(asyncio.get_running_loop().time() + 5):
            found += data
    return found


async def ask(caller: Client, one: Engine, body: Body = QUESTION, path: str = "/x") -> bytes:
    return await body_of(await caller.post(one.url + path, {}, body))


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    make = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def main(work: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=make) as runner:
            runner.run(asyncio.wait_for(work, 20))

    return main


CHUNKED = ENDLESS + b"2\r\nhe\r\n3;name=value\r\nllo\r\n0\r\ntrailer: x\r\n\r\n"


@pytest.mark.parametrize(
    "raw",
    [HELLO, CHUNKED, b"HTTP/1.1 200 OK\r\n\r\nhello", b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello"],
    ids=["length", "chunked", "until it closes", "1.0"],
)
@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_a_body_is_read_however_it_is_framed_and_cut(run: Run, raw: bytes, size: int) -> None:
    async def main() -> None:
        parts = [raw[at : at + size] for at in range(0, len(raw), size)]
        async with calling(then_ends(*parts)) as (one, caller):
            assert await ask(caller, one) == b"hello"

    run(main())


def test_a_request_is_what_was_asked_for(run: Run) -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def handle(caller: Caller) -> None:
        seen.append(await caller.request())
        await caller.say(HELLO)

    async def main() -> None:
        async with calling(handle) as (one, caller):
            reply = await caller.post(f"{one.url}/base/v1/x?y=1", {"Authorization": "Bearer k"}, QUESTION)
            assert (reply.status, reply.headers["content-length"]) == (200, "5")
            assert await body_of(reply) == b"hello"
            head, body = seen[0]
            assert body == b'{"a":1}'
            first, *fields = head.decode().strip().split("\r\n")
            assert first == "POST /base/v1/x?y=1 HTTP/1.1"
            assert f"host: {one.url.removeprefix('http://')}" in fields
            assert {"Authorization: Bearer k", "accept-encoding: identity", "content-length: 7"} < set(fields)
            with pytest.raises(ValueError, match="Authorization"):
                await caller.post(one.url, {"Authorization": "k\r\nx: y"}, QUESTION)

    run(main())


def test_ipv6(run: Run) -> None:
    async def main() -> None:
        try:
            async with calling(answers(HELLO), host="::1") as (one, caller):
                assert await ask(caller, one) == b"hello"
        except OSError:
            pytest.skip("This machine has no IPv6.")

    run(main())


def test_connections_are_reused(run: Run) -> None:
    async def main() -> None:
        async with calling(answers(CHUNKED)) as (one, caller):
            for _ in range(20):
                assert await ask(caller, one) == b"hello"
            assert len(one.callers) == caller.connections == 1

    run(main())


def test_one_that_the_engine_closes_after_each_reply_is_not(run: Run) -> None:
    async def main() -> None:
        closing = HELLO.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
        async with calling(then_ends(closing)) as (one, caller):
            for _ in range(5):
                assert await ask(caller, one) == b"hello"
            assert len(one.callers) == 5

    run(main())


def test_one_that_was_closed_meanwhile_is_replaced_and_the_request_sent_again(run: Run) -> None:
    requests: list[bytes] = []

    async def handle(caller: Caller) -> None:
        requests.append((await caller.request())[1])
        await caller.say(HELLO)
        if len(requests) == 1:
            requests.append((await caller.request())[1])
            caller.reset()  # as one that was closed just before the request came

    async def main() -> None:
        async with calling(handle) as (one, caller):
            assert await ask(caller, one) == b"hello"
            assert await ask(caller, one, Upload({"a": "b"}, np.ones(9, np.int16))) == b"hello"
            assert len(one.callers) == 2
            assert requests[1] == requests[2] != b""

    run(main())


@pytest.mark.parametrize("first_word", [b"", b"HTTP/1.1"], ids=["nothing", "a beginning"])
def test_what_may_have_been_done_is_not_sent_again(run: Run, first_word: bytes) -> None:
    async def main() -> None:
        async with calling(then_ends(first_word)) as (one, caller):
            with pytest.raises(Broken):
                await ask(caller, one)
            assert len(one.callers) == 1

    run(main())


def test_an_engine_that_breaks_over_a_request_on_a_kept_connection_is_not_asked_again(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply, "_STALE_S", 0.02)

    async def handle(caller: Caller) -> None:
        await caller.request()
        await caller.say(HELLO)
        await caller.request()
        await asyncio.sleep(0.05)
        caller.reset()

    async def main() -> None:
        async with calling(handle) as (one, caller):
            assert await ask(caller, one) == b"hello"
            with pytest.raises(Broken):
                await ask(caller, one)
            assert len(one.callers) == 1

    run(main())


@pytest.mark.parametrize("more", [HELLO, b"x", b"HTTP/1.1 200 OK\r\n"], ids=["reply", "garbage", "half"])
@pytest.mark.parametrize("together", [True, False])
def test_what_nobody_asked_for_is_not_taken_for_the_next_reply(run: Run, more: bytes, together: bool) -> None:
    first = HELLO.replace(b"hello", b"first")

    async def handle(caller: Caller) -> None:
        is_first = len(one_of[0].callers) == 1
        await answers(*([first + more] if together else [first, more]) if is_first else [HELLO])(caller)

    one_of: list[Engine] = []

    async def main() -> None:
        async with calling(handle) as (one, caller):
            one_of.append(one)
            assert await ask(caller, one) == b"first"
            await one.until_ended(1)
            assert await ask(caller, one) == b"hello"

    run(main())


def test_interim_replies_are_stepped_over(run: Run) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"

    async def main() -> None:
        async with calling(answers(*interim, HELLO)) as (one, caller):
            reply = await caller.post(one.url, {}, QUESTION)
            assert (reply.status, "link" in reply.headers) == (200, False)
            assert await body_of(reply) == b"hello"
            assert await ask(caller, one) == b"hello"
            assert len(one.callers) == 1

    run(main())


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"<html>no head</html>",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 50_000,
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 1_000_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
        b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello",
        ENDLESS + b"5\r\nhello\r\n",
        ENDLESS + b"5\r\nhelloooo",
        ENDLESS + b"zz\r\n",
        ENDLESS + b"1\r\nh\r\n0\r\n" + b"x: y\r\n" * 50_000,
    ],
    ids=lambda raw: raw[:60].decode("latin-1"),
)
def test_what_is_not_a_whole_reply_in_http_is_refused(run: Run, raw: bytes) -> None:
    async def main() -> None:
        async with calling(then_ends(raw)) as (one, caller):
            with pytest.raises(Broken):
                await ask(caller, one)
            assert len(one.callers) == 1

    run(main())


def test_a_head_that_drips_for_ever_is_cut(run: Run) -> None:
    async def handle(caller: Caller) -> None:
        await caller.request()
        await caller.say(b"HTTP/1.1 200 OK\r\nx: ")
        while True:
            await caller.say(b"y" * 1_000)

    async def main() -> None:
        async with calling(handle) as (one, caller):
            with pytest.raises(Broken):
                await ask(caller, one)
            await one.until_ended(1)

    run(main())


def test_what_came_before_a_reset_is_read(run: Run) -> None:
    async def handle(caller: Caller) -> None:
        await caller.request()
        await caller.say(ENDLESS + b"5\r\nhello\r\n")
        await asyncio.sleep(0.05)
        caller.reset()

    async def main() -> None:
        async with calling(handle) as (one, caller):
            reply = await caller.post(one.url, {}, QUESTION)
            deadline = asyncio.get_running_loop().time() + 5
            assert await reply.read(deadline) == b"hello"
            with pytest.raises(Broken):
                await reply.read(deadline)

    run(main())


def test_a_wait_has_an_end(run: Run) -> None:
    async def main() -> None:
        async with calling(answers(ENDLESS)) as (one, caller):
            reply = await caller.post(one.url, {}, QUESTION)
            with pytest.raises(TimeoutError):
                await reply.read(asyncio.get_running_loop().time() + 0.02)
            reply.close()
            await one.until_ended(1)

    run(main())


async def _until_left(caller: Caller) -> None:
    await caller.reader.read()


async def _never_reads(caller: Caller) -> None:
    await caller.head()
    caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.sleep(0.05)
    caller.writer.transport.resume_reading()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("handler", "size"),
    [(_until_left, 1), (answers(ENDLESS), 1), (_never_reads, 2**23)],
    ids=["before the headers", "in the body", "while sending"],
)
def test_cancelling_closes_the_connection_at_once(run: Run, handler: Handler, size: int) -> None:
    async def main() -> None:
        async with calling(handler) as (one, caller):
            task = asyncio.create_task(ask(caller, one, Upload({}, np.zeros(size, np.int16))))
            await until(lambda: bool(one.callers))
            await asyncio.sleep(0.02)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            started = time.monotonic()
            await one.until_ended(1)
            assert time.monotonic() - started < 0.5  # a tenth of a second on an idle machine
            assert caller.connections == 0

    run(main())


def test_closing_a_reply_that_goes_on_cuts_it_and_closing_a_whole_one_does_not(run: Run) -> None:
    async def main() -> None:
        async with calling(answers(ENDLESS)) as (one, caller):
            (await caller.post(one.url, {}, QUESTION)).close()
            await one.until_ended(1, limit_s=1)
        async with calling(answers(HELLO)) as (one, caller):
            for _ in range(3):
                reply = await caller.post(one.url, {}, QUESTION)
                reply.close()
                reply.close()
            assert len(one.callers) == 1

    run(main())


def test_the_rest_of_a_reply_may_be_skipped_and_the_connection_used_again(run: Run) -> None:
    async def main() -> None:
        async with calling(answers(ENDLESS + b"5\r\nhello\r\n", b"1\r\nx\r\n", b"0\r\n\r\n")) as (
            one,
            caller,
        ):
            for _ in range(3):
                reply = await caller.post(one.url, {}, QUESTION)
                assert (await reply.read(asyncio.get_running_loop().time() + 5)).startswith(b"hello")
                reply.skip_rest()
                reply.close()
                while not reply.ended:  # noqa: ASYNC110 - nobody waits for it otherwise
                    await asyncio.sleep(0.001)
            assert len(one.callers) == 1

    run(main())


@pytest.mark.parametrize("rest", [b"", b"8000\r\n" + b"x" * 2**15 + b"\r\n"], ids=["stalls", "goes on"])
def test_a_rest_that_does_not_end_is_cut(run: Run, rest: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply, "_REST_S", 0.05 if not rest else 10.0)

    async def main() -> None:
        async with calling(answers(ENDLESS + b"5\r\nhello\r\n", *[rest] * 100)) as (one, caller):
            reply = await caller.post(one.url, {}, QUESTION)
            reply.skip_rest()
            reply.close()
            await one.until_ended(1, limit_s=5)

    run(main())


def test_an_engine_waits_for_a_reader_that_lags(run: Run) -> None:
    sent = 2**26

    async def handle(caller: Caller) -> None:
        await caller.request()
        await caller.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % sent)
        for _ in range(sent >> 16):
            await caller.say(b"x" * 2**16)

    async def main() -> None:
        async with calling(handle) as (one, caller):
            reply = await caller.post(one.url, {}, QUESTION)
            sizes = []
            while data := await reply.read(asyncio.get_running_loop().time() + 5):
                sizes.append(len(data))
                if len(sizes) < 10:
                    await asyncio.sleep(0.02)
            assert sum(sizes) == sent
            assert max(sizes) <= 2**20  # what may be read ahead, and one more read

    run(main())


def test_a_body_is_made_no_faster_than_the_engine_takes_it(run: Run) -> None:
    made = 0
    goes_on = asyncio.Event()

    async def pieces() -> AsyncGenerator[bytes]:
        nonlocal made
        for number in range(256):
            made += 1
            yield bytes([number]) * 2**18

    async def handle(caller: Caller) -> None:
        await caller.head()
        await goes_on.wait()
        body = await caller.reader.readexactly(2**26)
        await caller.say(HELLO if body[:: 2**18] == bytes(range(256)) else b"")

    async def main() -> None:
        async with calling(handle) as (one, caller):
            task = asyncio.create_task(ask(caller, one, Body("x/y", pieces, 2**26)))
            before = -1
            while made != before:
                before = made
                await asyncio.sleep(0.05)
            assert 0 < made < 128
            goes_on.set()
            assert await task == b"hello"
            assert made == 256

    run(main())


BIG = 30 * 2**20
REFUSAL = b"HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\n\r\nlarge"


@pytest.mark.parametrize("form", ["ready", "upload"])
@pytest.mark.parametrize("hangs_up", [True, False])
def test_a_refusal_in_the_middle_of_the_body_is_heard(run: Run, form: str, hangs_up: bool) -> None:
    async def handle(caller: Caller) -> None:
        await caller.head()
        await caller.say(REFUSAL)
        if hangs_up:
            caller.writer.transport.abort()  # with unread bytes: the system sends a reset

    async def main() -> None:
        ready = Body("x/y", [b"x" * 2**20] * 30)
        body = ready if form == "ready" else Upload({}, np.zeros(BIG // 2, np.int16))
        async with calling(handle) as (one, caller):
            for number in range(10):
                reply = await caller.post(one.url, {}, body)
                assert reply.status == 413
                assert await body_of(reply) == b"large"
                await one.until_ended(number + 1)  # half a request cannot be followed by another
                assert len(one.callers) == number + 1

    run(main())


def test_a_refusal_is_heard_although_our_writing_finds_the_broken_connection_first(run: Run) -> None:
    has_hung_up = threading.Event()

    def refuse(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.recv(1)
        connection.sendall(REFUSAL)
        connection.close()  # with unread bytes
        has_hung_up.set()

    async def pieces() -> AsyncGenerator[bytes]:
        yield b"x"
        has_hung_up.wait(5)  # blocks the loop, so that nothing is read meanwhile
        for _ in range(30):
            yield b"x" * 2**20

    async def main() -> None:
        caller = Client(3.0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        reply = await caller.post(url, {}, Body("x/y", pieces, BIG + 1))
        assert reply.status == 413
        assert await body_of(reply) == b"large"
        await caller.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse, args=(listener,))
        thread.start()
        run(main())
        thread.join()


def test_an_upload_arrives_as_a_form(run: Run) -> None:
    forms: list[tuple[bytes, bytes]] = []
    pcm = np.arange(-500_000, 500_000, dtype=np.int64).astype(np.int16)

    async def handle(caller: Caller) -> None:
        forms.append(await caller.request())
        await caller.say(HELLO)

    async def main() -> None:
        async with calling(handle) as (one, caller):
            assert await ask(caller, one, Upload({"model": "x", "list[]": ["a", "b"]}, pcm)) == b"hello"

    run(main())
    head, body = forms[0]
    boundary = head.split(b"boundary=")[1].split(b"\r\n")[0]
    parts = body.split(b"--" + boundary)
    assert [part.split(b"\r\n\r\n", 1)[1] for part in parts[1:4]] == [b"x\r\n", b"a\r\n", b"b\r\n"]
    assert parts[4].endswith(pcm.tobytes() + b"\r\n")
    assert parts[5] == b"--\r\n"


def test_only_so_many_connections_are_kept(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_IDLE", 3)

    async def main() -> None:
        async with calling(answers(HELLO[:-1], HELLO[-1:])) as (one, caller):
            assert await asyncio.gather(*(ask(caller, one) for _ in range(10))) == [b"hello"] * 10
            await one.until_ended(7)
            assert (len(one.callers), caller.connections) == (10, 3)

    run(main())


def test_a_connection_that_nobody_uses_ends(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "IDLE_S", 0.05)

    async def main() -> None:
        async with calling(answers(HELLO)) as (one, caller):
            assert await ask(caller, one) == b"hello"
            await one.until_ended(1)
            assert caller.connections == 0
            assert await ask(caller, one) == b"hello"

    run(main())


def test_closing_cuts_what_runs_and_leaves_nothing_open(run: Run) -> None:
    async def main() -> None:
        async with engine(answers(ENDLESS)) as one:
            caller = Client(3.0)
            replies = [await caller.post(one.url, {}, QUESTION) for _ in range(5)]
            waiting = asyncio.create_task(replies[0].read(asyncio.get_running_loop().time() + 5))
            await asyncio.sleep(0)
            await caller.close()
            await one.until_ended(5, limit_s=1)
            with pytest.raises(Broken):
                await waiting
            assert caller.connections == 0
            with pytest.raises(Broken):
                await caller.post(one.url, {}, QUESTION)
            assert caller.connections == 0

    run(main())


def test_a_port_where_nobody_listens(run: Run) -> None:
    async def main() -> None:
        caller = Client(3.0)
        with socket.socket() as unheard:
            unheard.bind(("127.0.0.1", 0))
            for name in ("127.0.0.1", "localhost", "no-such-name.invalid", "x" * 70):
                with pytest.raises(Unreachable):
                    await caller.post(f"http://{name}:{unheard.getsockname()[1]}", {}, QUESTION)
        assert caller.connections == 0

    run(main())


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that nobody has signed, as a file and for a server."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "engine")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "engine.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return file, context


def test_tls_serves_those_whom_it_may_trust_only(
    run: Run, certificate: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, context = certificate

    async def main() -> None:
        async with calling(answers(CHUNKED), ssl=context) as (one, caller):
            one.url = one.url.replace("http:", "https:")
            tls.cache_clear()
            with pytest.raises(Unreachable, match="certificate"):
                await ask(caller, one)
            assert caller.connections == 0
            monkeypatch.setenv("SSL_CERT_FILE", str(file))
            tls.cache_clear()
            large = Upload({}, np.zeros(2**20, np.int16))
            assert [await ask(caller, one, large) for _ in range(3)] == [b"hello"] * 3
            assert caller.connections == 1
            with pytest.raises(Unreachable):
                await caller.post(one.url.replace("127.0.0.1", "localhost"), {}, QUESTION)

    try:
        run(main())
    finally:
        tls.cache_clear()


def test_one_who_accepts_and_does_not_shake_hands_is_given_up(run: Run) -> None:
    async def main() -> None:
        async with engine(_until_left) as one:
            caller = Client(0.1)
            with pytest.raises(Unreachable):
                await caller.post(one.url.replace("http:", "https:"), {}, QUESTION)
            await one.until_ended(1)
            assert caller.connections == 0

    run(main())
