"""Bytes on the wire that are no request, or not yet, or one too many."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from backend.protocol import MAX_HEAD_BYTES, Protocol
from tests.backend.conftest import VISITOR, Start, question, row
from tests.backend.fake_engine import FakeEngine, says, stalls_after

NAME = VISITOR["x-meralion-visitor"]


def connected(client: httpx.Client) -> closing[socket.socket]:
    address = urlsplit(str(client.base_url))
    return closing(socket.create_connection((address.hostname, address.port), timeout=20))


def post(**fields: Any) -> bytes:
    body = json.dumps({**question(**fields), "stream": True}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n"
        f"x-meralion-visitor: {NAME}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def refused(line: socket.socket, status: int) -> str:
    """The code of a refusal in OpenAI's form, after which the connection has ended."""
    said = b""
    while data := line.recv(65_536):
        said += data
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), said[:200]
    code: str = json.loads(body)["error"]["code"]
    return code


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Protocol, "head_s", 0.3)
    yield


def test_what_is_no_http_is_refused_in_our_form(client: httpx.Client) -> None:
    with connected(client) as line:
        line.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert refused(line, 400) == "http_invalid"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nx-long: " + b"a" * 2**20,
        b"GET /healthz HTTP/1.1\r\n" + b"x-many: a\r\n" * 10_000 + b"\r\n",
        b"GET /" + b"a" * (MAX_HEAD_BYTES + 1) + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["one without an end", "many", "a path"],
)
def test_a_head_is_bounded(client: httpx.Client, head: bytes) -> None:
    with connected(client) as line, suppress(ConnectionError):  # it hangs up while more is on its way
        line.sendall(head)
        assert refused(line, 431) == "head_too_large"
    assert client.get("/healthz", headers={"x-large": "a" * (MAX_HEAD_BYTES - 4_096)}).status_code == 200


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("before", [b"", b"GET /healthz HTTP/1.1\r\nhost: he"], ids=["nothing", "half"])
def test_half_a_head_is_not_waited_for(client: httpx.Client, before: bytes) -> None:
    with connected(client) as line:
        line.sendall(before)
        assert refused(line, 408) == "head_too_slow"


@pytest.mark.usefixtures("hasty")
def test_half_of_the_next_head_on_a_kept_connection_is_not_either(client: httpx.Client) -> None:
    with connected(client) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nhost: here\r\n\r\n")
        assert line.recv(65_536).startswith(b"HTTP/1.1 200")
        line.sendall(b"\r\n")
        assert refused(line, 408) == "head_too_slow"


@pytest.mark.usefixtures("hasty")
def test_an_answer_may_take_longer_than_a_head_though_half_of_one_is_there(
    client: httpx.Client, engine: FakeEngine
) -> None:
    engine.default = says(*"abcdefgh", gap_s=0.1)
    with connected(client) as line:
        line.sendall(post() + b"POST /v1/ch")
        said = b""
        while b"[DONE]" not in said:
            data = line.recv(65_536)
            assert data, said
            said += data
        assert said.count(b'"content":') == 9  # the role's is empty


def test_two_at_once_are_answered_one_after_the_other(client: httpx.Client) -> None:
    with connected(client) as line:
        line.sendall(2 * post())
        said = b""
        while said.count(b"[DONE]") < 2:
            said += line.recv(65_536)
        assert said.count(b"HTTP/1.1 200") == 2


def test_who_leaves_frees_the_place_though_another_request_of_his_waits(
    start: Start, engine: FakeEngine
) -> None:
    client = start(row([engine.url]), silence_timeout_s=20, hedge_silence_s=0)
    engine.default = stalls_after("a")
    with connected(client) as line:
        line.sendall(2 * post())
        while b'"a"' not in line.recv(65_536):
            pass
    assert engine.exchanges[0].left.wait(5)
    deadline = time.monotonic() + 5
    while client.get("/v1/status").json()["queue"]["busy"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(engine.exchanges) == 1  # nobody waits for the second


def test_rubbish_after_a_request_ends_the_connection_with_its_answer(
    client: httpx.Client, engine: FakeEngine
) -> None:
    engine.default = says(*"abc", gap_s=0.1)
    with connected(client) as line:
        line.sendall(post() + b"\x00rubbish\r\n\r\n")
        said = b""
        while data := line.recv(65_536):
            said += data
    assert b"[DONE]" in said and said.endswith(b"0\r\n\r\n")
    assert b"http_invalid" not in said  # which must not stand in the middle of the answer


def test_a_body_that_breaks_off_in_rubbish_is_refused(client: httpx.Client) -> None:
    head = post().partition(b"content-length")[0] + b"transfer-encoding: chunked\r\n\r\n"
    with connected(client) as line:
        line.sendall(head + b'5\r\n{"mod\r\nrubbish\r\n')
        assert refused(line, 400) == "http_invalid"
