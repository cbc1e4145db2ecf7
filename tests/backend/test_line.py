"""The line to one engine: what its reply means, how long it may take, and what becomes of the connection."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import json
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from backend import chat_stream
from backend.answer import Done, Head, Heard, Token, Usage
from backend.balancer import Instance
from backend.errors import Busy, ControllerError, InvalidRequest, TooLarge, Unavailable, UpstreamFailed
from backend.settings import Settings
from backend.upload import Upload
from backend.upstream import Body, Line
from tests.backend.carried import Question
from tests.backend.fake_engine import (
    Behaviour,
    Exchange,
    FakeEngine,
    breaks_after,
    chunk,
    ends_after,
    refuses,
    says,
    sends,
    stalls_after,
)

QUICK: dict[str, Any] = {"first_byte_timeout_s": 0.3, "silence_timeout_s": 0.2}  # of what never comes
SPEECH = Body("application/json", [b"{}"])
Stream = Callable[[Line, Instance], AsyncGenerator[list[Any]]]


@dataclass
class Outcome:
    """What one stream gave."""

    batches: list[list[Any]] = field(default_factory=list)
    error: ControllerError | None = None

    @property
    def items(self) -> list[Any]:
        return [item for batch in self.batches for item in batch]

    @property
    def text(self) -> str:
        return "".join(item.text for item in self.items if isinstance(item, Token))

    @property
    def failure(self) -> ControllerError:
        assert self.error is not None
        return self.error


def chat(line: Line, instance: Instance) -> AsyncGenerator[list[Any]]:
    return chat_stream.ask(line, Question("What is said?"), instance)


def speech(line: Line, instance: Instance) -> AsyncGenerator[list[Any]]:
    return line.passed_through(instance, "/v1/audio/speech", SPEECH)


def outcome(engine: FakeEngine, stream: Stream = chat, times: int = 1, **settings: Any) -> Outcome:
    """Ask an engine and read to the end; the last outcome of several."""

    async def main() -> Outcome:
        line = Line(Settings(**settings))
        instance = Instance("one", engine.url, "sk-key")
        try:
            for _ in range(times):
                result = Outcome()
                try:
                    async with aclosing(stream(line, instance)) as batches:
                        async for batch in batches:
                            result.batches.append(batch)
                except ControllerError as error:
                    result.error = error
        finally:
            await line.close()
        return result

    return asyncio.run(main())


def data(value: Any) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def token(text: str) -> bytes:
    return data(chunk({"content": text}))


STOP = data(chunk({}, "stop"))
DONE = b"data: [DONE]\n\n"


def test_what_comes_in_one_packet_is_one_batch(engine: FakeEngine) -> None:
    usage = data({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 20}})
    heard = data({"choices": [], "meralion": {"heard": "I want rice.", "timing": {"asr_ms": 1, "x": None}}})
    engine.default = sends(heard + b"".join(token(f"{at} ") for at in range(20)) + STOP + usage + DONE)
    result = outcome(engine)
    words = [Token(f"{at} ") for at in range(20)]
    assert result.batches == [[Heard("I want rice."), *words, Done("stop", Usage(7, 20), {"asr_ms": 1.0})]]


def test_a_word_is_told_as_soon_as_it_comes(engine: FakeEngine) -> None:
    engine.default = says("one", "two", "three", gap_s=0.05)
    result = outcome(engine)
    assert [len(batch) for batch in result.batches] == [1, 1, 1, 1]
    assert result.text == "onetwothree"


def test_the_connection_serves_the_next_request(engine: FakeEngine) -> None:
    async def behave(exchange: Exchange) -> None:
        fields = b"content-type: text/event-stream\r\nconnection: keep-alive\r\ncontent-length: %d\r\n\r\n"
        body = token("Hello") + STOP + DONE
        exchange.writer.write(b"HTTP/1.1 200 OK\r\n" + fields % len(body) + body)

    engine.default = behave
    assert outcome(engine, times=5).text == "Hello"
    assert len({id(exchange.writer) for exchange in engine.exchanges}) == 1
    assert engine.exchanges[-1].headers["authorization"] == "bearer sk-key"
    assert engine.exchanges[-1].json["messages"] == [{"role": "user", "content": "What is said?"}]


def test_an_answer_that_was_begun_is_gone_on_from(engine: FakeEngine) -> None:
    def onward(line: Line, instance: Instance) -> AsyncGenerator[list[Any]]:
        return chat_stream.ask(line, Question("What is said?"), instance, "Chick")

    engine.default = says("en")
    assert outcome(engine, onward).text == "en"
    assert engine.exchanges[0].json["messages"][-1] == {"role": "assistant", "content": "Chick"}


@pytest.mark.parametrize(
    "damage",
    [
        b"data: {not json\n\n",
        b"data: 5\n\n",
        b"data: null\n\n",
        b"data:\n\n",
        b"data: [DONE\n\n",
        b'data: {"choices": [7]}\n\n',
        b'data: {"choices": {"0": 1}}\n\n',
        b'data: {"choices": [{"delta": {"content": 5}}]}\n\n',
        b'data: {"choices": [{"delta": "text"}]}\n\n',
        b'data: {"choices": [{"delta": {"content": "\\ud83c"}}]}\n\n',
        b'data: {"choices": [{"delta": {"content": "\xe9\xb8"}}]}\n\n',
        b'dxta: {"choices": []}\n\n',
        b"garbage\n\n",
        b"data: " + b"x" * 2**21,
        b"data: " + b"[" * 100_000 + b"\n\n",
    ],
    ids=lambda damage: damage[:50].decode("latin-1"),
)
@pytest.mark.parametrize("before", [b"", token("Chick")], ids=["first", "after a word"])
def test_damage_is_a_fault(engine: FakeEngine, before: bytes, damage: bytes) -> None:
    came = threading.Event()

    async def behave(exchange: Exchange) -> None:
        await exchange.head()
        if before:
            await exchange.send(before)
            await asyncio.to_thread(came.wait, 5)  # else both would be one batch
        await exchange.send(damage)
        await exchange.send(token("en") + STOP + DONE)
        await exchange.end()

    async def chat_that_tells(line: Line, instance: Instance) -> AsyncGenerator[list[Any]]:
        async with aclosing(chat(line, instance)) as batches:
            async for batch in batches:
                came.set()
                yield batch

    engine.default = behave
    result = outcome(engine, chat_that_tells)
    assert result.failure.code == "upstream_nonsense"
    assert (result.failure.again, result.failure.broke) == (True, False)
    assert result.text == ("Chick" if before else "")


def test_words_that_came_with_the_first_fault_are_not_told(engine: FakeEngine) -> None:
    engine.default = sends(token("Chick") + b"data: {\n\n")  # so that a sampled answer too may begin again
    result = outcome(engine)
    assert result.failure.code == "upstream_nonsense"
    assert result.batches == []


@pytest.mark.parametrize(
    "harmless",
    [
        b": ping\n\n",
        b"event: message\nid: 7\nretry: 3\n\n",
        b"\n\n\r\n\r\r",
        data({"choices": []}),
        data({"choices": None, "usage": None, "error": None, "meralion": None}),
        data(chunk({"role": "assistant", "content": ""})),
        data({"choices": [{"delta": None, "finish_reason": None}]}),
        data({"choices": [], "usage": {"prompt_tokens": None}}),
        b'data: {"choices": [], "meralion": {"timing": {"asr_ms": NaN, "llm_ms": "fast"}}}\n\n',
        data({"choices": [{"delta": {"content": None, "reasoning_content": "hm"}}]}),
    ],
    ids=lambda harmless: harmless[:50].decode(),
)
def test_what_says_nothing_does_no_harm(engine: FakeEngine, harmless: bytes) -> None:
    engine.default = sends(
        harmless, token("Chick"), harmless + token("en"), harmless + STOP + harmless + DONE
    )
    result = outcome(engine)
    assert (result.error, result.text, result.items[-1]) == (None, "Chicken", Done("stop"))


def test_characters_may_be_cut_anywhere(engine: FakeEngine) -> None:
    whole = token("鸡饭 🍚") + STOP + DONE
    engine.default = sends(*(whole[at : at + 1] for at in range(len(whole))))
    assert outcome(engine).text == "鸡饭 🍚"


@pytest.mark.parametrize(
    "tail",
    [
        sends(token("Hi") + STOP),
        sends(token("Hi"), STOP, STOP + DONE),
        sends(token("Hi"), STOP, end=False),
        sends(token("Hi"), STOP, b"data: {\n\n"),
        sends(token("Hi"), STOP, data({"error": {"message": "boom"}})),
        sends(token("Hi"), data(chunk({"content": ""}, "stop")) + DONE + token("more")),
    ],
    ids=["no [DONE]", "two ends", "cut", "damage", "error", "words after [DONE]"],
)
def test_after_its_finish_reason_an_answer_is_whole(engine: FakeEngine, tail: Behaviour) -> None:
    engine.default = tail
    result = outcome(engine)
    assert (result.error, result.text, result.items[-1]) == (None, "Hi", Done("stop"))


def test_after_its_finish_reason_nobody_waits_long(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_stream, "_TAIL_S", 0.05)

    async def behave(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(token("Hi") + STOP)
        await exchange.until_left()

    engine.default = behave
    assert outcome(engine, silence_timeout_s=60).items[-1] == Done("stop")
    assert engine.exchanges[0].left.wait(1)


@pytest.mark.parametrize(
    ("fault", "code", "broke"),
    [
        (breaks_after(), "upstream_broke", True),
        (breaks_after("Chick"), "upstream_broke", True),
        (ends_after(), "upstream_broke", True),
        (ends_after("Chick"), "upstream_broke", True),
        (sends(token("Chick"), DONE), "upstream_broke", True),
        (stalls_after(), "upstream_timeout", False),
        (stalls_after("Chick"), "upstream_timeout", False),
        (sends(b"<html>", content_type="text/html"), "upstream_nonsense", False),
        (sends(data({"error": {"message": "boom"}})), "upstream_failed", False),
        (sends(token("Chick"), data({"error": "boom"})), "upstream_failed", False),
        (sends(data({"error": {"message": "x", "code": 503}})), "upstream_rejected", False),
        (refuses(500), "upstream_failed", False),
        (refuses(301), "upstream_failed", False),
        (refuses(204), "upstream_failed", False),
    ],
)
def test_each_fault_has_a_name_and_another_engine_may_help(
    engine: FakeEngine, fault: Behaviour, code: str, broke: bool
) -> None:
    engine.default = fault
    failure = outcome(engine, **(QUICK if code == "upstream_timeout" else {})).failure
    assert (failure.code, failure.broke, failure.again) == (code, broke, True)


def test_an_engine_that_is_not_there(engine: FakeEngine) -> None:
    engine.close()
    failure = outcome(engine).failure
    assert (failure.code, failure.broke, failure.again) == ("upstream_unreachable", True, True)


def test_comments_do_not_keep_a_silent_answer_alive(engine: FakeEngine) -> None:
    async def behave(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.token("Chick")
        while not exchange.writer.transport.is_closing():
            await exchange.send(b": ping\n\n")
            await asyncio.sleep(0.02)

    engine.default = behave
    assert outcome(engine, **QUICK).failure.code == "upstream_timeout"


def test_a_slow_but_steady_answer_may_take_longer_than_any_limit(engine: FakeEngine) -> None:
    engine.default = says(*["word "] * 15, gap_s=0.2)  # 3 s, of which no silence is as long as the limit
    assert outcome(engine, first_byte_timeout_s=2.0, silence_timeout_s=2.0).text == "word " * 15


@pytest.mark.parametrize("stream", [chat, speech])
def test_an_answer_has_a_bound(engine: FakeEngine, stream: Stream) -> None:
    async def behave(exchange: Exchange) -> None:
        await exchange.head()
        while not exchange.writer.transport.is_closing():
            await exchange.send(token("word " * 100))

    engine.default = behave
    result = outcome(engine, stream, max_answer_bytes=50_000)
    assert (result.failure.code, result.failure.again) == ("answer_too_large", False)
    assert len(result.text) < 50_000


@pytest.mark.parametrize(
    ("said", "waits"),
    [
        ("7", "7"),
        ("0", "0"),
        ("1.2", "2"),
        ("3600", "30"),
        ("-5", "0"),
        ("inf", "30"),
        ("nan", None),
        ("soon", None),
        ("", None),
        pytest.param(email.utils.formatdate(time.time() + 3_600, usegmt=True), "30", id="in an hour"),
        pytest.param(email.utils.formatdate(time.time() - 3_600, usegmt=True), "0", id="an hour ago"),
        ("Wed, 99 Foo 2026", None),
    ],
)
def test_how_long_a_busy_engine_wants_to_rest_is_passed_on(
    engine: FakeEngine, said: str, waits: str | None
) -> None:
    def busy(status: int) -> Behaviour:
        async def behave(exchange: Exchange) -> None:
            fields = f"retry-after: {said}\r\ncontent-length: 0"
            exchange.writer.write(f"HTTP/1.1 {status} X\r\n{fields}\r\n\r\n".encode())

        return behave

    engine.script = [busy(429), busy(503)]
    first, second = outcome(engine).failure, outcome(engine).failure
    assert isinstance(first, Busy)
    assert isinstance(second, Unavailable)
    assert first.headers == {"Retry-After": waits or "2"}
    assert second.headers == ({"Retry-After": waits} if waits else {})


@pytest.mark.parametrize(
    ("status", "kind"), [(400, InvalidRequest), (413, TooLarge), (415, InvalidRequest), (422, InvalidRequest)]
)
def test_what_concerns_the_request_is_passed_on_in_the_engines_words(
    engine: FakeEngine, status: int, kind: type[ControllerError]
) -> None:
    engine.default = refuses(status, "Too long. Start over.", "too_many_tokens")
    failure = outcome(engine).failure
    assert isinstance(failure, kind)
    assert (failure.message, failure.code, failure.again) == (
        "Too long. Start over.",
        "too_many_tokens",
        False,
    )


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"error": 5}', b"\xff" * 9, b"[" * 60_000, b"x" * 2**22, None]
)
def test_any_refusal_is_understood(engine: FakeEngine, body: bytes | None) -> None:
    async def behave(exchange: Exchange) -> None:
        await exchange.head(500, "application/json")
        if body is None:
            await exchange.until_left()
        elif body:
            with contextlib.suppress(ConnectionError):
                await exchange.send(body)
        await exchange.end()

    engine.default = behave
    failure = outcome(engine, **(QUICK if body is None else {})).failure
    assert isinstance(failure, UpstreamFailed)
    assert failure.code == ("upstream_timeout" if body is None else "upstream_failed")


def test_a_reply_is_passed_through_as_it_is(engine: FakeEngine) -> None:
    engine.default = sends(b"RIFF", b"\x00\xff" * 9, content_type="audio/wav")
    result = outcome(engine, speech)
    assert result.batches[0][0] == Head("audio/wav")
    assert b"".join(result.items[1:]) == b"RIFF" + b"\x00\xff" * 9
    assert all(isinstance(item, bytes) for item in result.items[1:])
    assert engine.exchanges[0].headers["content-type"] == "application/json"


def test_an_empty_reply_is_none(engine: FakeEngine) -> None:
    engine.default = sends(content_type="audio/wav")
    assert outcome(engine, speech).failure.code == "upstream_nonsense"


def test_a_reply_that_breaks_is_told_after_what_came(engine: FakeEngine) -> None:
    engine.default = sends(b"RIFF", content_type="audio/wav", end=False)
    result = outcome(engine, speech)
    assert result.items == [Head("audio/wav"), b"RIFF"]
    assert result.failure.broke


def test_patience_is_for_the_first_byte(engine: FakeEngine) -> None:
    async def behave(exchange: Exchange) -> None:
        await asyncio.sleep(0.5)
        await exchange.head(content_type="text/plain")
        await asyncio.sleep(0.5)
        await exchange.send(b"words")
        await exchange.until_left()

    def patient(line: Line, instance: Instance) -> AsyncGenerator[list[Any]]:
        upload = Upload({}, np.zeros(10, np.int16))
        return line.passed_through(instance, "/v1/audio/transcriptions", upload, patience_s=5.0)

    engine.default = behave
    result = outcome(engine, patient, first_byte_timeout_s=0.3, silence_timeout_s=1.5)
    assert result.items == [Head("text/plain"), b"words"]
    assert result.failure.code == "upstream_timeout"


@pytest.mark.parametrize("stream", [chat, speech])
@pytest.mark.parametrize("before", [[], ["one"]], ids=["before the first word", "after it"])
def test_leaving_frees_the_engine_at_once(engine: FakeEngine, stream: Stream, before: list[str]) -> None:
    engine.default = stalls_after(*before)

    async def main() -> float:
        line = Line(Settings())
        batches = stream(line, Instance("one", engine.url))
        if before:
            await anext(batches)
            left_at = time.monotonic()
            await batches.aclose()
        else:
            task = asyncio.ensure_future(anext(batches))
            while not engine.exchanges:  # noqa: ASYNC110 - the engine is in another thread
                await asyncio.sleep(0.001)
            left_at = time.monotonic()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await asyncio.to_thread(engine.exchanges[0].left.wait, 5)
        took = time.monotonic() - left_at
        await line.close()
        return took

    assert asyncio.run(main()) < 0.5  # a tenth of a second on an idle machine
