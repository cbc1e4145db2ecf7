"""A transcript on its way out: whole in any of OpenAI's forms, or streamed while it is read."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import aclosing
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from model.errors import ClientGone, EngineError
from model.events import STILL_HERE, sse
from model.long_audio import subtitles
from model.long_audio.forms import Form, Task
from model.long_audio.readings import Reading

Pieces = AsyncGenerator[str | Reading, None]
"""Text as it is read, pieces that join to the whole, and a `Reading` at the end of each window."""

QUIET_S = 10.0  # s without a word after which a stream shows that it is alive

T = TypeVar("T")


async def reply(request: Request, form: Form, task: Task, clip_seconds: float, pieces: Pieces) -> Response:
    """Answer with what is read. Raises whatever reading raises before the first word, and ClientGone."""
    if form.stream:
        # The first piece is awaited here, so that a refusal is an HTTP error and not the end of a stream.
        first = await unless_gone(request, anext(pieces, None))
        times = _Times(clip_seconds) if form.is_timed else None
        return Stream(_events(first, pieces, times), media_type="text/event-stream")
    readings = await unless_gone(request, _readings(pieces))
    text = "".join(reading.text for reading in readings).strip()
    if form.format == "json":
        return JSONResponse({"text": text})
    if form.format == "text":
        return PlainTextResponse(text + "\n")
    found = subtitles.segments(readings)
    if form.format == "srt":
        return PlainTextResponse(subtitles.srt(found))
    if form.format == "vtt":
        return PlainTextResponse(subtitles.vtt(found), media_type="text/vtt")
    spoken = readings[0].language if readings else form.language or "en"
    return JSONResponse(subtitles.verbose(found, task, spoken, clip_seconds, text, form.with_words))


class Stream(StreamingResponse):
    """A streamed body whose source is closed, to its very end, when the caller leaves."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the body."""
        with contextlib.suppress(ClientGone, OSError):
            await unless_gone(Request(scope, receive), self.stream_response(send))

    async def stream_response(self, send: Send) -> None:
        """Send the body; an end before its time closes the source too."""
        assert isinstance(self.body_iterator, AsyncGenerator)
        async with aclosing(self.body_iterator):
            await super().stream_response(send)


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """Do the work unless the caller leaves first; the body must have been read. Raises ClientGone."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        for future in (task, gone):
            future.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _readings(pieces: Pieces) -> list[Reading]:
    async with aclosing(pieces):
        return [piece async for piece in pieces if isinstance(piece, Reading)]


async def _events(
    first: str | Reading | None, pieces: Pieces, times: _Times | None
) -> AsyncGenerator[bytes, None]:
    text = ""
    async with aclosing(pieces), aclosing(_or_quiet(first, pieces)) as told:
        if times:
            yield times.progress()
        try:
            async for piece in told:
                if piece is None:
                    yield STILL_HERE
                elif isinstance(piece, str):
                    piece = piece if text else piece.lstrip()
                    text += piece
                    if piece:
                        yield sse({"type": "transcript.text.delta", "delta": piece})
                elif times:
                    for event in times.read(piece):
                        yield event
        except EngineError as error:
            yield sse(error.body())
            return
    if times and not times.at_end:
        yield times.end()
    yield sse({"type": "transcript.text.done", "text": text})
    yield sse("[DONE]")


class _Times:
    """What a stream with times tells beside the words; all in seconds from the start of the clip."""

    def __init__(self, clip_seconds: float) -> None:
        self._seconds = round(clip_seconds, 2)
        self._read_until = 0.0
        self._segments = 0

    @property
    def at_end(self) -> bool:
        """Whether it has been told that all is read."""
        return self._read_until >= self._seconds

    def read(self, window: Reading) -> Iterator[bytes]:
        """Yield the events at the end of a window: its segments, and how far the clip is read."""
        for segment in subtitles.segments([window]):
            times = {"start": segment.start, "end": segment.end}
            yield sse(
                {"type": "transcript.text.segment", "id": self._segments, **times, "text": segment.text}
            )
            self._segments += 1
        self._read_until = min(round(window.span.end, 2), self._seconds)
        yield self.progress()

    def end(self) -> bytes:
        """Return the event that says that all is read: nobody speaks after the last window."""
        self._read_until = self._seconds
        return self.progress()

    def progress(self) -> bytes:
        """Return the event that says how far the clip is read, and how long it is."""
        return sse({"type": "meralion.progress", "read_until": self._read_until, "seconds": self._seconds})


async def _or_quiet(
    first: str | Reading | None, pieces: Pieces
) -> AsyncGenerator[str | Reading | None, None]:
    """Yield the pieces, and None whenever there was none for a while."""
    if first is None:
        return
    yield first
    task: asyncio.Future[str | Reading | None] | None = None
    try:
        while True:
            task = task or asyncio.ensure_future(anext(pieces, None))
            done, _ = await asyncio.wait({task}, timeout=QUIET_S)
            if not done:
                yield None
                continue
            piece, task = task.result(), None
            if piece is None:
                return
            yield piece
    finally:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
