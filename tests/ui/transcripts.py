"""What an engine tells of a recording that it reads with times, and the wait for what comes of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from tests.backend.fake_engine import Exchange
from ui.transcript import Progress, Transcript
from ui.wire import Segment

LEFT_ALONE_S = 20.0
DONE = b"data: [DONE]\n\n"


def told(kind: str, **fields: Any) -> bytes:
    return f"data: {json.dumps({'type': kind, **fields})}\n\n".encode()


def progress_at(read_until: float) -> bytes:
    return told("meralion.progress", read_until=read_until, seconds=60.0)


BEGIN = (progress_at(0), told("transcript.text.delta", delta="Two "), b": still reading\n\n")
WINDOW = (
    told("transcript.text.delta", delta="kopi."),
    told("transcript.text.segment", id=0, start=0.5, end=2.25, text="Two kopi."),
    progress_at(28.4),
)
END = (
    told("transcript.text.delta", delta=" One teh."),
    told("transcript.text.segment", id=1, start=29.0, end=31.5, text="One teh."),
    progress_at(60),
    told("transcript.text.done", text="Two kopi. One teh."),
    DONE,
)
SEGMENTS = (Segment(0.5, 2.25, "Two kopi."), Segment(29.0, 31.5, "One teh."))


def stalls(*pieces: bytes) -> Callable[[Exchange], Any]:
    """Say no more after these pieces."""

    async def behave(exchange: Exchange) -> None:
        if pieces:
            await exchange.head()
        for piece in pieces:
            await exchange.send(piece)
        await exchange.until_left()

    return behave


def end(transcript: Transcript, limit_s: float = 10) -> Progress:
    progress = transcript.progress
    deadline = time.monotonic() + limit_s
    while not progress.ended and time.monotonic() < deadline:
        progress = transcript.wait(progress.version, 0.5)
    assert progress.ended
    return progress


def until(transcript: Transcript, holds: Callable[[Progress], bool]) -> Progress:
    progress = transcript.progress
    deadline = time.monotonic() + 10
    while not holds(progress) and not progress.ended and time.monotonic() < deadline:
        progress = transcript.wait(progress.version, 0.5)
    assert holds(progress)
    return progress
