"""Engines that refuse, break, stall or talk nonsense: a retry before the first word, a clear end after it."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from tests.backend.conftest import Start, error_of, question, row, streamed, text_of
from tests.backend.fake_engine import (
    Behaviour,
    FakeEngine,
    breaks_after,
    chunk,
    ends_after,
    refuses,
    says,
    sends,
    stalls_after,
)

CHAT = "/v1/chat/completions"
BROKEN = "The model stopped in the middle of its answer. What came so far is kept; asking again is safe."


def until_both_answer(client: httpx.Client, *engines: FakeEngine) -> None:
    """Ask until every engine has been found to be up and has had a turn."""
    deadline = time.monotonic() + 10
    while not all(engine.exchanges for engine in engines):
        assert time.monotonic() < deadline
        assert client.post(CHAT, json=question(), headers={"cache-control": "no-cache"}).status_code == 200


@pytest.mark.parametrize(
    "fault",
    [
        refuses(500),
        refuses(429),
        refuses(503),
        breaks_after(),
        ends_after(),
        stalls_after(),
        sends(b"<html>", content_type="text/html"),
        sends(b'data: {"error": {"message": "boom", "type": "server_error"}}\n\n'),
    ],
    ids=["500", "429", "503", "cut", "empty", "hang", "html", "error event"],
)
def test_before_the_first_word_another_instance_answers(
    start: Start, engine: FakeEngine, second_engine: FakeEngine, fault: Behaviour
) -> None:
    client = start(row([engine.url, second_engine.url]))
    until_both_answer(client, engine, second_engine)
    engine.script = [fault]
    for number in range(2):  # idle instances take turns, so one of these meets the fault
        assert text_of(streamed(client, question(f"Question {number}?"))) == "Hello world"
    assert engine.script == []


def test_a_refused_connection_is_answered_elsewhere(
    start: Start, engine: FakeEngine, second_engine: FakeEngine
) -> None:
    client = start(row([engine.url, second_engine.url]), probe_interval_s=60.0)
    until_both_answer(client, engine, second_engine)
    engine.close()
    for number in range(4):
        assert client.post(CHAT, json=question(f"Question {number}?")).status_code == 200


def test_the_same_instance_is_asked_again_once_it_is_back(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]))
    engine.script = [breaks_after()]
    assert client.post(CHAT, json=question()).json()["choices"][0]["message"]["content"] == "Hello world"
    assert len(engine.exchanges) == 2


def test_two_failures_are_told(start: Start, engine: FakeEngine, second_engine: FakeEngine) -> None:
    client = start(row([engine.url, second_engine.url]), retries=1)
    until_both_answer(client, engine, second_engine)
    before = len(engine.exchanges) + len(second_engine.exchanges)
    engine.default = second_engine.default = refuses(500)
    assert error_of(client.post(CHAT, json=question()), 502)["code"] == "upstream_failed"
    engine.default = second_engine.default = refuses(429)
    busy = client.post(CHAT, json=question())
    assert error_of(busy, 429)["type"] == "rate_limit_error"
    assert busy.headers["retry-after"]
    assert len(engine.exchanges) + len(second_engine.exchanges) == before + 2 + 3


def test_what_the_engine_says_about_the_callers_request_is_passed_on_and_not_retried(
    client: httpx.Client, engine: FakeEngine
) -> None:
    engine.default = refuses(
        400, "The conversation is longer than 2,048 tokens. Start over.", "too_many_tokens"
    )
    error = error_of(client.post(CHAT, json=question()), 400)
    assert (error["code"], error["message"][:16]) == ("too_many_tokens", "The conversation")
    assert len(engine.exchanges) == 1


@pytest.mark.parametrize("status", [401, 404])
def test_what_concerns_our_own_key_or_name_is_not(
    client: httpx.Client, engine: FakeEngine, status: int
) -> None:
    engine.default = refuses(status, "Incorrect API key provided: sk-12345")
    error = error_of(client.post(CHAT, json=question()), 502)
    assert "sk-12345" not in error["message"]


@pytest.mark.parametrize(
    "fault",
    [
        breaks_after("Chick"),
        ends_after("Chick"),
        stalls_after("Chick"),
        sends(b"data: " + json.dumps(chunk({"content": "Chick"})).encode() + b"\n\ndata: [DONE]\n\n"),
        sends(
            b"data: " + json.dumps(chunk({"content": "Chick"})).encode() + b"\n\n",
            b'data: {"error": {"message": "boom"}}\n\n',
            gap_s=0.1,  # in one packet with the first word it would be a fault before it
        ),
    ],
    ids=["cut", "no finish", "stall", "done without finish", "error event"],
)
def test_after_the_first_word_the_stream_ends_with_a_sentence(
    client: httpx.Client, engine: FakeEngine, fault: Behaviour
) -> None:
    engine.script = [fault]
    started = time.monotonic()
    events = streamed(client, question())
    assert time.monotonic() - started < 2.0
    assert text_of(events) == "Chick"
    assert events[-1]["error"] == {
        "message": BROKEN,
        "type": "server_error",
        "param": None,
        "code": "answer_interrupted",
    }
    assert text_of(streamed(client, question())) == "Hello world"


def test_a_whole_answer_that_breaks_is_an_error(client: httpx.Client, engine: FakeEngine) -> None:
    engine.script = [breaks_after("Chick")]
    assert error_of(client.post(CHAT, json=question()), 502)["code"] == "answer_interrupted"


def test_split_characters_comments_and_odd_line_ends_are_survived(
    client: httpx.Client, engine: FakeEngine
) -> None:
    rice = b"data: " + json.dumps(chunk({"content": "鸡饭 🍚"}), ensure_ascii=False).encode() + b"\r\n\r\n"
    end = b"data: " + json.dumps(chunk({}, "stop")).encode() + b"\r\r"
    engine.script = [
        sends(
            b": a comment\r\n",
            b"event: message\nid: 7\n",
            *(bytes([byte]) for byte in rice),
            end,
            b"data: [DONE]\n\n",
        )
    ]
    events = streamed(client, question())
    assert text_of(events) == "鸡饭 🍚"
    assert events[-1] == "[DONE]"


def test_an_answer_is_whole_after_its_finish_reason(client: httpx.Client, engine: FakeEngine) -> None:
    pieces = [
        b"data: " + json.dumps(item).encode() + b"\n\n"
        for item in (chunk({"content": "Hi"}), chunk({}, "stop"))
    ]
    engine.script = [sends(*pieces, end=False)]
    events = streamed(client, question())
    assert (text_of(events), events[-1]) == ("Hi", "[DONE]")


def test_a_model_whose_engine_is_gone_says_so_and_recovers(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]), queue_timeout_s=0.5)
    assert client.post(CHAT, json=question("One?")).status_code == 200
    engine.close()
    assert error_of(client.post(CHAT, json=question("Two?")), 503)["code"] == "model_unavailable"
    assert client.get("/healthz").json() == {"status": "degraded", "models": {"tiny": "down"}}
    card = client.get("/v1/models/tiny").json()["meralion"]
    assert card["state"] == "down"
    assert "cannot be reached" in card["detail"]
    engine.open()
    deadline = time.monotonic() + 10
    while client.get("/healthz").json()["status"] != "ok" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert client.post(CHAT, json=question("Three?")).status_code == 200


def test_the_least_busy_instance_is_chosen(
    start: Start, engine: FakeEngine, second_engine: FakeEngine
) -> None:
    client = start(row([engine.url, second_engine.url]), silence_timeout_s=10.0)
    until_both_answer(client, engine, second_engine)
    engine.exchanges.clear()
    second_engine.exchanges.clear()
    engine.default = second_engine.default = stalls_after("...")
    busy = []
    for number in range(4):
        stream = client.stream("POST", CHAT, json={**question(f"{number}?"), "stream": True})
        busy.append((stream, stream.__enter__()))
    assert (len(engine.exchanges), len(second_engine.exchanges)) == (2, 2)
    for stream, _ in busy:
        stream.__exit__(None, None, None)


def test_long_answers_stream_word_by_word(client: httpx.Client, engine: FakeEngine) -> None:
    engine.default = says("first", *["."] * 20, gap_s=0.05)
    with client.stream("POST", CHAT, json={**question(), "stream": True}) as response:
        came = [time.monotonic() for line in response.iter_lines() if '"content"' in line]
    assert came[-1] - came[0] > 0.7  # of the second that it took to say
