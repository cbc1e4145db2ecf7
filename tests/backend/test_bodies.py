"""2. Bodies too large, too deep, too slow, packed or in too many parts: refused, with memory bounded."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from backend import body
from tests.backend.conftest import VISITOR, Start, error_of, question, row
from tests.backend.fake_engine import FakeEngine
from tests.model import clips

CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=b"}
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
MIB = 2**20


class Server:
    """A controller in a process of its own, whose memory can be looked at."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        assert popen.stdout is not None
        self.popen = popen
        self.port: int = json.loads(popen.stdout.readline())["port"]

    def peak_mib(self) -> float:
        lines = Path(f"/proc/{self.popen.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024

    def send(self, head: str, pieces: Iterator[bytes]) -> tuple[bytes, int]:
        """Send for as long as it is taken; return the reply and how many bytes of the body went."""
        sent = 0
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            visitor = f"x-meralion-visitor: {VISITOR['x-meralion-visitor']}"
            connection.sendall(f"{head}\r\nhost: x\r\n{visitor}\r\n\r\n".encode())
            try:
                for piece in pieces:
                    connection.sendall(piece)
                    sent += len(piece)
            except (BrokenPipeError, ConnectionResetError):
                pass
            reply = b""
            try:
                while piece := connection.recv(2**16):
                    reply += piece
            except ConnectionResetError:
                pass
        return reply, sent


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("bodies")
    engine = FakeEngine("tiny")
    (folder / "models.toml").write_text(row([engine.url]))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MERALION")},
        "MERALION_PORT": "0",
        "MERALION_MODELS": str(folder / "models.toml"),
        "MERALION_CACHE_STORE": "none",
        "MERALION_MAX_TRANSCRIPTION_BYTES": str(25 * MIB),
    }
    popen = subprocess.Popen(
        [sys.executable, "-m", "backend"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=Path(__file__).parents[2],
    )
    try:
        yield Server(popen)
    finally:
        popen.kill()
        popen.communicate()
        engine.shut_down()


def pieces(prefix: bytes, mib: int, chunked: bool) -> Iterator[bytes]:
    for piece in (prefix, *[b"\1" * MIB] * mib):
        if piece:
            yield b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "undeclared"])
@pytest.mark.parametrize(
    ("path", "kind", "prefix"),
    [
        (CHAT, "application/json", b'{"model": "'),
        ("/v1/files", FORM["content-type"], FILE),
        ("/v1/audio/transcriptions", FORM["content-type"], FILE),
        ("/no/such/path", "application/json", b""),
    ],
)
def test_2_300_mb_are_neither_kept_nor_read_to_the_end(
    server: Server, path: str, kind: str, prefix: bytes, chunked: bool
) -> None:
    before = server.peak_mib()
    length = "transfer-encoding: chunked" if chunked else f"content-length: {300 * MIB + len(prefix)}"
    reply, sent = server.send(
        f"POST {path} HTTP/1.1\r\n{length}\r\ncontent-type: {kind}", pieces(prefix, 300, chunked)
    )
    assert sent < 120 * MIB  # up to a limit, then 64 MiB so that the sender can read the answer
    assert server.peak_mib() - before < 110
    if reply:
        assert reply.split()[1] in (b"413", b"404")
        assert b"connection: close" in reply.lower()
    assert httpx.get(f"http://127.0.0.1:{server.port}/v1/models", trust_env=False).status_code == 200


def test_2_an_honest_sender_of_a_little_too_much_reads_the_answer(client: httpx.Client) -> None:
    response = client.post("/v1/files", files={"file": ("a.wav", bytes(60 * MIB))})
    assert error_of(response, 413)["code"] == "audio_too_large"
    assert response.headers["connection"] == "close"
    assert client.get("/v1/models").status_code == 200


def test_a_body_that_was_read_leaves_the_connection_open(client: httpx.Client) -> None:
    assert error_of(client.post(CHAT, json=question("")), 400)
    assert "connection" not in client.post(CHAT, json=question()).headers


def test_a_caller_who_asks_first_is_told_before_it_sends(server: Server) -> None:
    head = f"POST {CHAT} HTTP/1.1\r\ncontent-length: {300 * MIB}\r\nexpect: 100-continue"
    reply, _ = server.send(f"{head}\r\ncontent-type: application/json", iter(()))
    assert reply.startswith(b"HTTP/1.1 413")


def test_2_json_as_deep_as_is_read_and_deeper(client: httpx.Client) -> None:
    for depth in (100, 190, 199, 200, 201, 500, 100_000):
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            nested = opening * depth + b"1" + closing * depth
            for data in (nested, b'{"model":"tiny","metadata":' + nested + b"}"):
                error = error_of(client.post(CHAT, content=data, headers=JSON), 400)
                assert error["code"] in ("json_invalid", "missing_field", "unknown_field")
    assert client.post(CHAT, json=question()).status_code == 200


def test_2_more_values_than_anyone_means(client: httpx.Client) -> None:
    many = b'{"model":"tiny","metadata":[' + b"[]," * 2_000_000 + b"1]}"
    hidden = b'{"model":"tiny","a":"\\"' + b"x" * 5_000 + b'","metadata":[' + b"1," * 2_000_000 + b"1]}"
    quoted = b'{"metadata":[' + b'"",' * 2_000_000 + b'""]}'
    for data in (many, hidden, quoted):
        assert error_of(client.post(CHAT, content=data, headers=JSON), 400)["code"] == "json_invalid"


@pytest.mark.parametrize(
    "text",
    [
        b'{"model":"tiny","max_tokens":1e999}',
        b'{"model":"tiny","max_tokens":' + b"9" * 100_000 + b"}",
        b'{"model":"tiny","temperature":NaN}',
        b'{"model":"\\ud800","messages":[{"role":"user","content":"hi"}]}',
        b'{"model":"tiny","messages":[{"role":"user","content":"\\ud83d"}]}',
        b'{"model":"tiny","messages":[{"role":"user","content":"\xed\xa0\x80"}]}',
        b'\xef\xbb\xbf{"model":"tiny"}',
        b'{"model":"tiny"}{"model":"tiny"}',
        b'{"model":"tiny","model\\u0000":1}',
    ],
    ids=lambda text: text[:40],
)
def test_2_numbers_and_letters_that_are_none(client: httpx.Client, text: bytes) -> None:
    assert error_of(client.post(CHAT, content=text, headers=JSON), 400)


def test_recordings_are_passed_over_and_marks_are_not() -> None:
    held = json.dumps({"data": "A" * 1_000_000, "text": "a, b"}).encode()
    assert body._without_recordings(held) < 100
    assert body._marks(held) == 3
    for mark in (b",", b"[", b"{"):
        spoilt = held.replace(b"A" * 500_000, b"A" * 499_999 + mark, 1)
        assert body._without_recordings(spoilt) > 1_000_000
        assert body._marks(spoilt) == 4
    assert body._without_recordings(b"") == 0


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, gzip", "identity, gzip"])
def test_2_packed_bodies_are_not_unpacked(client: httpx.Client, coding: str) -> None:
    for path, headers in ((CHAT, JSON), ("/v1/files", FORM), ("/v1/audio/transcriptions", FORM)):
        reply = client.post(path, content=b"\x1f\x8b" * 100, headers={**headers, "content-encoding": coding})
        assert error_of(reply, 415)["code"] == "content_encoding"


@pytest.mark.parametrize("path", ["/v1/files", "/v1/audio/transcriptions", "/v1/audio/translations"])
def test_2_100_000_parts(client: httpx.Client, path: str) -> None:
    for part in (b'name="f%d"', b'name="file"; filename="%d.wav"', b'name="file%d"; filename="a.wav"'):
        data = b"".join(
            b"--b\r\nContent-Disposition: form-data; " + part % number + b"\r\n\r\nx\r\n"
            for number in range(100_000)
        )
        started = time.monotonic()
        reply = client.post(path, content=data + b"--b--\r\n", headers=FORM)
        assert error_of(reply, 400)["code"] == "form_invalid"
        assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"--b",
        b"--b--\r\n",
        b"--b\r\n\r\n",
        b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\nContent-Disposition: \xff\r\n\r\nx\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="file\xff\xfe"\r\n\r\nx\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n\xff\xfe\r\n--b--\r\n',
        b"--b\r\n" + b"X: y\r\n" * 50_000 + b"\r\nx\r\n--b--\r\n",
        b"--b\r\n" + b"X" * 2_000_000 + b": y\r\n\r\nx\r\n--b--\r\n",
        FILE + b"x",
        b"preamble " * 1_000 + FILE + b"x\r\n--b--\r\n",
    ],
    ids=lambda data: repr(data[:50]),
)
def test_2_forms_of_rubbish(client: httpx.Client, data: bytes) -> None:
    for path in ("/v1/files", "/v1/audio/transcriptions"):
        reply = client.post(path, content=data, headers=FORM)
        assert error_of(reply, 404 if reply.status_code == 404 else 400)
    wav = {"file": ("a.wav", clips.plain_wav())}
    assert client.post("/v1/files", files=wav).status_code == 200


def test_2_a_slow_upload_is_given_up_and_the_line_with_it(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]), body_timeout_s=0.3)
    for path, headers, first in ((CHAT, JSON, b'{"model":'), ("/v1/files", FORM, FILE)):
        with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=10) as line:
            kind = headers["content-type"]
            head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 9999\r\ncontent-type: {kind}\r\n\r\n"
            line.sendall(head.encode() + first)
            reply = b""
            while piece := line.recv(2**16):
                reply += piece
        assert reply.startswith(b"HTTP/1.1 408")
        assert b"body_too_slow" in reply


def test_a_caller_who_leaves_in_mid_upload_is_no_error(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for path, headers, first in ((CHAT, JSON, b'{"model":'), ("/v1/files", FORM, FILE)):
        with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=10) as line:
            kind = headers["content-type"]
            head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 9999\r\ncontent-type: {kind}\r\n\r\n"
            line.sendall(head.encode() + first)
    deadline = time.monotonic() + 5
    while [getattr(record, "fields", {}).get("status") for record in caplog.records].count(499) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "internal error" not in [record.getMessage() for record in caplog.records]
