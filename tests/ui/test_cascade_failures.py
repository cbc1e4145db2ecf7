"""Every bad day of a text model's endpoint, over real HTTP: a sentence for each, and nothing endless."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from tests.backend.fake_engine import (
    Behaviour,
    Exchange,
    FakeEngine,
    breaks_after,
    ends_after,
    refuses,
    sends,
    stalls_after,
)
from tests.ui.endpoints import KEY, ask, fails, replies, target, text
from ui.cascade.external import MAX_ANSWER_CHARACTERS, Target
from ui.cascade.secret import Secret
from ui.wire import Done


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (refuses(401, f"Incorrect API key provided: {KEY}", "invalid_api_key"), "text_key_refused"),
        (refuses(403, KEY), "text_not_allowed"),
        (refuses(404, "The model `large` does not exist", "model_not_found"), "text_not_found"),
        (refuses(429, "You exceeded your quota", "insufficient_quota"), "text_no_credit"),
        (refuses(400, "too long", "context_length_exceeded"), "text_too_much"),
        (refuses(400, f"bad {KEY}"), "text_rejected"),
        (refuses(500, KEY), "text_failed"),
        (replies(503, "<html>down</html>", "text/html"), "text_failed"),
        (replies(200, "<html>Welcome</html>", "text/html"), "text_strange"),
        (replies(200, "{", "application/json"), "text_strange"),
        (replies(200, '{"choices": []}', "application/json"), "text_strange"),
        (replies(200, "zipped", "text/event-stream", content_encoding="gzip"), "text_strange"),
        (sends(b"data: {broken\n\n"), "text_strange"),
        (sends(b'data: {"choices": "none"}\n\n'), "text_strange"),
        (sends(b'data: {"error": {"message": "' + KEY.encode() + b'"}}\n\n'), "text_failed"),
        (breaks_after(), "text_unreachable"),
        (ends_after(), "text_nothing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_days_before_the_first_word(endpoint: FakeEngine, behaviour: Behaviour, code: str):
    endpoint.default = behaviour
    words, error = fails(target(endpoint))
    assert (words, error.code) == ("", code)
    assert len(endpoint.exchanges) == 1  # nothing is tried again behind the visitor's back


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (breaks_after("At ", "noon"), "text_broke"),
        (ends_after("At ", "noon"), "text_broke"),
        (
            sends(
                b'data: {"choices": [{"delta": {"content": "At noon"}}]}\n\n',
                b'data: {"error": {"message": "x"}}\n\n',
            ),
            "text_broke",
        ),
    ],
    ids=["cut", "no end", "told"],
)
def test_what_had_come_is_kept(endpoint: FakeEngine, behaviour: Behaviour, code: str):
    endpoint.default = behaviour
    words, error = fails(target(endpoint))
    assert (words, error.code, error.retryable) == ("At noon", code, True)


@pytest.mark.parametrize(("value", "seconds"), [("7", 7), ("soon", 0), ("1e9", 86_400), ("", 0)])
def test_a_busy_endpoint_says_when(endpoint: FakeEngine, value: str, seconds: int):
    endpoint.default = replies(429, "{}", retry_after=value)
    _, error = fails(target(endpoint))
    assert (error.code, error.retry_after_s, error.retryable) == ("text_busy", seconds, True)


def test_a_redirect_is_not_followed(endpoint: FakeEngine):
    elsewhere = FakeEngine("other")
    try:
        endpoint.default = replies(307, "", location=f"{elsewhere.url}/v1/chat/completions")
        assert fails(target(endpoint))[1].code == "text_moved"
        assert not elsewhere.exchanges
    finally:
        elsewhere.shut_down()


def test_a_first_word_that_does_not_come_is_not_waited_for(endpoint: FakeEngine):
    endpoint.default = stalls_after()
    assert fails(target(endpoint, first_word_s=0.3))[1].code == "text_slow"
    assert endpoint.exchanges[0].left.wait(5)


def test_silence_after_a_word_is_not_waited_out(endpoint: FakeEngine):
    endpoint.default = stalls_after("At ")
    words, error = fails(target(endpoint, silence_s=0.3))
    assert (words, error.code) == ("At ", "text_silent")


def test_comments_are_no_words(endpoint: FakeEngine):
    async def chatter(exchange: Exchange) -> None:
        await exchange.head()
        while True:
            await exchange.send(b": still here\n\n")
            await asyncio.sleep(0.05)

    endpoint.default = chatter
    assert fails(target(endpoint, first_word_s=0.5))[1].code == "text_slow"


def test_an_endless_answer_is_cut(endpoint: FakeEngine):
    async def endless(exchange: Exchange) -> None:
        await exchange.head()
        while True:
            await exchange.token("ha " * 1000)

    endpoint.default = endless
    events = ask(target(endpoint))
    assert len(text(events)) == MAX_ANSWER_CHARACTERS
    assert events[-1] == Done(finish_reason="length")


def test_an_endless_reply_of_anything_else_is_stopped(endpoint: FakeEngine):
    async def endless(exchange: Exchange) -> None:
        await exchange.head()
        while True:
            await exchange.send(b": " + b"x" * 65_536)

    endpoint.default = endless
    assert fails(target(endpoint))[1].code == "text_endless"


def test_nobody_there():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        assert fails(Target(address=address, model="x"))[1].code == "text_unreachable"


def test_a_connection_that_is_not_secure_gets_nothing():
    """A server without TLS behind an https address, which answers in the clear."""
    heard = b""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            nonlocal heard
            connection, _ = server.accept()
            with connection:
                heard = connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"https://127.0.0.1:{server.getsockname()[1]}/v1"
        assert fails(Target(address=address, model="x", key=Secret(KEY)))[1].code == "text_not_secure"
        thread.join()
    assert KEY.encode() not in heard
