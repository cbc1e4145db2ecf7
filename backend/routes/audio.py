"""Speech to words, and words to speech: decoded or checked here, done by an engine."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from backend import tracing, wire
from backend.answer import Done, Head, Queued
from backend.balancer import Instance
from backend.body import read_form, read_json
from backend.budget import Share
from backend.controller import Controller
from backend.errors import InvalidRequest
from backend.failover import carry
from backend.follower import Follower
from backend.registry import Row
from backend.request import cleaned
from backend.routes.parts import HeldShare, House, Owner, Stream, clocked, note
from backend.timing import Timing
from backend.upload import Upload
from backend.upstream import Body, Line
from backend.work import Ask, Work
from model.audio import Pcm, seconds

router = APIRouter(prefix="/v1/audio")
_SPOKEN_TOKENS_PER_S = 4  # of a transcript
_Batch = list[Head | bytes | Queued]


@dataclass
class _PassedThrough:
    """A job whose reply is handed on as it comes."""

    line: Line
    path: str
    body: Body
    ask: Ask
    repeats: bool = True
    patience_s: float = 0.0
    can_continue: bool = False
    max_tokens: int | None = None

    def attempt(
        self, instance: Instance, continue_from: str = "", max_tokens: int | None = None
    ) -> AsyncGenerator[list[Head | bytes]]:
        """Yield one instance's reply in batches. Raises ControllerError."""
        return self.line.passed_through(instance, self.path, self.body, patience_s=self.patience_s)


@router.post("/transcriptions")
async def transcriptions(request: Request, house: House, share: HeldShare, owner: Owner) -> Response:
    """Write down what is said."""
    return await _listen(request, house, share, owner, "transcribe", "/v1/audio/transcriptions")


@router.post("/translations")
async def translations(request: Request, house: House, share: HeldShare, owner: Owner) -> Response:
    """Write down in English what is said in another language."""
    return await _listen(request, house, share, owner, "translate", "/v1/audio/translations")


@router.post("/speech")
async def speech(request: Request, house: House, share: HeldShare, owner: Owner) -> Response:
    """Read a text aloud."""
    timing, epoch = Timing(), house.host.epoch  # an answer under way may still be read aloud in a pause
    said = wire.parse(wire.SpeechBody, await read_json(request, house.settings, share))
    row = house.row(said.model, "speech")
    text = cleaned(said.input, house.settings)
    note(request, model=row.id)
    asked = {**said.model_dump(exclude_none=True), "model": row.upstream_id, "input": text}
    body = Body("application/json", [json.dumps(asked).encode()])
    ask = Ask(owner, Work(tokens=len(text)))
    house.host.check(epoch)
    job = _PassedThrough(house.line, "/v1/audio/speech", body, ask)
    return await _pass_through(request, house, row, timing, job)


async def _listen(
    request: Request,
    house: Controller,
    share: Share,
    owner: str,
    capability: Literal["transcribe", "translate"],
    path: str,
) -> Response:
    timing, epoch = Timing(), house.host.admit()
    row, fields, pcm = await _understood(request, house, share, owner, capability, timing)
    house.host.check(epoch)
    job = _PassedThrough(
        house.line,
        path,
        Upload(fields, pcm),
        Ask(owner, Work(seconds(pcm), int(_SPOKEN_TOKENS_PER_S * seconds(pcm)))),
        repeats=float(str(fields.get("temperature", 0))) == 0,
        # An hour takes minutes to read, and a transcript that is not streamed comes all at once: an engine
        # may take as long as people did to speak.
        patience_s=seconds(pcm),
    )
    return await _pass_through(request, house, row, timing, job)


async def _understood(
    request: Request,
    house: Controller,
    share: Share,
    owner: str,
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
    with tracing.span("decode", model=row.id):
        pcm = await house.ingest.recording(form.file, owner=owner)
    share.hold(pcm.nbytes)
    timing.decode_ms = round(1_000 * (time.perf_counter() - started), 2)
    timing.audio_s = seconds(pcm)
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
    request: Request, house: Controller, row: Row, timing: Timing, job: _PassedThrough
) -> Response:
    """Hand the engine's bytes on as they come."""
    clocked(request, timing)
    pool, trip = house.pool(row), timing.trip
    follower = house.flights.join(None, lambda sent: carry(pool, job, trip, house.settings, sent), trip)
    reply = _Reply(follower, timing)
    return Stream(reply.stream(), lambda: (reply.content_type, timing.headers()))


class _Reply:
    """A reply on its way through."""

    def __init__(self, batches: Follower[Head | bytes], timing: Timing) -> None:
        self.content_type = ""
        self._batches = batches
        self._timing = timing

    async def stream(self) -> AsyncGenerator[bytes]:
        """Yield the bytes. Raises ControllerError.

        Places in the queue, which come before the head, cannot be told in such a reply.
        """
        async with aclosing(self._batches) as batches:
            async for batch in batches:
                if isinstance(batch[0], Head):
                    self.content_type = batch[0].content_type
                if not isinstance(batch[0], Queued):
                    yield self._bytes(batch)
        self._timing.ended(Done("stop"))

    def _bytes(self, batch: _Batch) -> bytes:
        pieces = [item for item in batch if isinstance(item, bytes)]
        self._timing.saw(*pieces)
        return b"".join(pieces)
