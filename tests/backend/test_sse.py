"""Events are found however the bytes are cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from backend import sse

STREAM = (
    'data: {"a": "鸡饭"}\r\n\r\n: comment\r\n\r\nevent: x\ndata: one\ndata: two\n\ndata:three\r\rdata: [DONE]'
).encode()
EVENTS = ['{"a": "鸡饭"}', "one\ntwo", "three", "[DONE]"]


def parse(pieces: Sequence[bytes]) -> list[str]:
    async def chunks() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def main() -> list[str]:
        return [event async for event in sse.events(chunks())]

    return asyncio.run(main())


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 16, 1_000])
def test_any_cut_gives_the_same_events(size: int) -> None:
    assert parse([STREAM[at : at + size] for at in range(0, len(STREAM), size)]) == EVENTS


def test_bytes_that_are_not_utf8_do_not_end_the_stream() -> None:
    assert parse([b"data: \xff\xfe\n\ndata: x\n\n"])[1] == "x"


@pytest.mark.parametrize("endless", [b"data: " + b"x" * 2**18, b"data: x\n" * 2**16])
def test_an_event_without_an_end_is_given_up(endless: bytes) -> None:
    with pytest.raises(sse.EventTooLong):
        parse([endless] * 8)
