"""Speech to words, and words to speech: decoded or checked here, done by an engine."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from backend import logs, sse, wire
from backend.balancer import Instance
from backend.body import read_form, read_json
from backend.budget import Share
from backend.controller import Controller
from backend.errors import ControllerError, InvalidRequest
from backend.registry import Row
from backend.request import check_length, without_control_tokens
from backend.routes.parts import HeldShare, House, Owner, Stream, note, unless_gone
from backend.timing import Timing
from backend.upload import Upload
from backend.upstream import Head, with_retry
from model.audio import Pcm, seconds

router = APIRouter(prefix="/v1/audio")


@router.post("/transcriptions")
async def transcriptions(request: Request, house: House, share: HeldShare, owner: Owner) -> Response:
    """Write down what is said."""
    return await _listen(request, house, share, "transcribe", "/v1/audio/transcriptions")


@router.post("/translations")
async def translations(request: Request, house: House, share: HeldShare, owner: Owner) -> Response:
    """Write down in English what is said in another language."""
    return await _listen(request, house, share, "translate", "/v1/audio/translations")


@router.post("/speech")
async def speech(request: Request, house: House, owner: Owner) -> Response:
    """Read a text aloud."""
    timing = Timing()
    body = wire.parse(wire.SpeechBody, await read_json(request, house.settings))
    row = house.row(body.model, "speech")
    text = without_control_tokens(body.input).strip()
    check_length(text, house.settings)
    note(request, model=row.id)
    asked = {**body.model_dump(exclude_none=True), "model": row.upstream_id, "input": text}

    def attempt(instance: Instance) -> AsyncGenerator[Head | bytes]:
        return house.line.passed_through(instance, "/v1/audio/speech", json=asked)

    return await _pass_through(request, house, row, timing, attempt)


async def _listen(
    request: Request,
    house: Controller,
    share: Share,
    capability: Literal["transcribe", "translate"],
    path: str,
) -> Response:
    timing = Timing()
    row, fields, pcm = await _understood(request, house, share, capability, timing)
    upload = Upload(fields, pcm)

    def attempt(instance: Instance) -> AsyncGenerator[Head | bytes]:
        # An hour takes minutes to read, and a transcript that is not streamed comes all at once: an engine
        # may take as long as people did to speak.
        return house.line.passed_through(instance, path, patience_s=seconds(pcm), **upload.content())

    return await _pass_through(request, house, row, timing, attempt)


async def _understood(
    request: Request,
    house: Controller,
    share: Share,
    capability: Literal["transcribe", "translate"],
    timing: Timing,
) -> tuple[Row, dict[str, str | list[str]], Pcm]:
    """Read, check and decode; the file, which may be large, is let go on return. Raises ControllerError."""
    form = await read_form(request, house.settings, house.settings.max_transcription_bytes, share)
    asked = wire.parse(wire.ListenForm, wire.form_values(form.fields))
    row = house.row(asked.model, capability)
    if form.file is None:
        raise InvalidRequest("missing_field", "Send the recording in a field named `file`.", param="file")
    started = time.perf_counter()
    pcm = await house.ingest.recording(form.file)
    share.hold(pcm.nbytes)
    timing.decode_ms = round(1_000 * (time.perf_counter() - started), 2)
    note(request, model=row.id, bytes=len(form.file), seconds=seconds(pcm))
    if seconds(pcm) > row.max_transcription_seconds:
        raise InvalidRequest(
            "audio_too_long",
            f"The recording lasts {seconds(pcm):.0f} seconds, and {row.title} takes "
            f"{row.max_transcription_seconds:g}. Cut it.",
            param="file",
        )
    return row, asked.fields(row.upstream_id), pcm


async def _pass_through(
    request: Request,
    house: Controller,
    row: Row,
    timing: Timing,
    attempt: Callable[[Instance], AsyncGenerator[Head | bytes]],
) -> Response:
    """Hand the engine's bytes on as they come."""
    items = with_retry(house.pools[row.id], timing, attempt)
    head = await unless_gone(request, anext(items))
    assert isinstance(head, Head)
    note(request, cache=timing.cache, instance=timing.instance or None)
    return Stream(_rest(items, head.content_type), head.content_type, timing.headers())


async def _rest(items: AsyncGenerator[Head | bytes], content_type: str) -> AsyncGenerator[bytes]:
    """Yield the bytes; a break is told as an event, or where there are none, by a cut connection."""
    async with aclosing(items):
        try:
            async for item in items:
                if isinstance(item, bytes):
                    yield item
        except ControllerError as error:
            logs.event("answer failed", level=logging.WARNING, code=error.code)
            if not content_type.startswith("text/event-stream"):
                raise
            yield sse.event(error.body())
