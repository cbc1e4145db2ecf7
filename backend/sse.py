"""Server-sent events, both ways, for streams that are cut anywhere: in a character, a line or an event."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

DONE = "[DONE]"
MAX_EVENT_BYTES = 2**20


class EventTooLong(ValueError):
    """An event did not end within MAX_EVENT_BYTES."""


async def events(chunks: AsyncIterator[bytes]) -> AsyncGenerator[str]:
    """Yield the data of each event. Comments and other fields are stepped over; LF, CRLF and CR end a line.

    A stream may end without the blank line that ends an event: what came is yielded.
    """
    data: list[bytes] = []
    size = 0
    async for line in _lines(chunks):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
            size += len(line)
            if size > MAX_EVENT_BYTES:
                raise EventTooLong
        elif not line and data:
            yield b"\n".join(data).decode("utf-8", "replace")
            data, size = [], 0
    if data:
        yield b"\n".join(data).decode("utf-8", "replace")


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    rest = b""
    after_cr = False
    async for chunk in chunks:
        if after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        if not chunk:
            continue
        after_cr = chunk.endswith(b"\r")
        lines = (rest + chunk).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        rest = lines.pop()
        if len(rest) > MAX_EVENT_BYTES:
            raise EventTooLong
        for line in lines:
            yield line
    if rest:
        yield rest


def event(data: Any) -> bytes:
    """Return one event that carries a JSON value, or DONE."""
    text = data if data == DONE else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode()
