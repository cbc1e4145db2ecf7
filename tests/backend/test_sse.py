"""Events are found however the bytes are cut."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import pytest

from backend import sse

STREAM = (
    "\ufeff"
    'data: {"a": "鸡饭"}\r\n\r\n: comment\r\n\r\nevent: x\nid: 7\nretry: 9\ndata: one\ndata: two\n\n'
    "\n\ndata:three\r\rdata: [DONE]"
).encode()
EVENTS = ['{"a": "鸡饭"}'.encode(), b"one\ntwo", b"three", b"[DONE]"]


def parse(pieces: Sequence[bytes]) -> list[bytes]:
    parser = sse.Parser()
    return [event for piece in pieces for event in parser.feed(piece)] + parser.end()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 16, 1_000])
def test_any_cut_gives_the_same_events(size: int) -> None:
    assert parse([STREAM[at : at + size] for at in range(0, len(STREAM), size)]) == EVENTS


def test_an_event_is_told_as_soon_as_it_ends() -> None:
    parser = sse.Parser()
    assert parser.feed(b"data: x\n") == []
    assert parser.feed(b"\ndata: y\n\ndata: z\n\ndata") == [b"x", b"y", b"z"]
    assert parser.feed(b": a\r") == []
    assert parser.feed(b"\r") == [b"a"]  # whether a line feed follows or not
    assert parser.feed(b"\n") == []


def test_bytes_that_are_not_utf8_do_not_end_the_stream() -> None:
    assert parse([b"data: \xff\xfe\n\ndata: x\n\n"]) == [b"\xff\xfe", b"x"]


@pytest.mark.parametrize("line", [b"dxta: x", b"garbage", b'{"a": 1}', b"\xff", b"<html>", b" data: x"])
def test_a_line_that_is_no_field_is_handed_on(line: bytes) -> None:
    assert parse([b"data: x\n\n" + line + b"\n\ndata: y\n\n"]) == [b"x", line, b"y"]


@pytest.mark.parametrize(
    "endless",
    [b"data: " + b"x" * 2**18, b"data: x\n" * 2**16, b"x" * 2**18],
    ids=["line", "lines", "no field"],
)
def test_an_event_without_an_end_is_given_up(endless: bytes) -> None:
    with pytest.raises(sse.EventTooLong):
        parse([endless] * 8)


def test_a_slow_drip_costs_no_more_than_its_length() -> None:
    drip = [b"x"] * (sse.MAX_EVENT_BYTES - 10)  # copied anew with each byte it would take half an hour
    started = time.process_time()
    assert parse([b"data: ", *drip, b"\n\n"]) == [b"x" * len(drip)]
    assert parse([b"data: \n"] * (sse.MAX_EVENT_BYTES // 8)) == [b"\n" * (sse.MAX_EVENT_BYTES // 8 - 1)]
    assert time.process_time() - started < 20


def test_what_is_written_is_read() -> None:
    value = {"text": 'one\ntwo\r"three" 鸡饭 \u2028'}
    assert [json.loads(data) for data in parse([sse.event(value)])] == [value]
    assert parse([sse.event(sse.DONE)]) == [b"[DONE]"]
