"""Questions about recordings, or about words alone."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from backend import flow, wire
from backend import request as canonical
from backend.audio import Clip
from backend.body import read_json
from backend.controller import Controller
from backend.errors import InvalidRequest
from backend.reply import Reply
from backend.routes.parts import House, Owner, Stream, note, unless_gone
from backend.timing import Timing

router = APIRouter()


@router.post("/v1/chat/completions")
async def chat(request: Request, house: House, owner: Owner) -> Response:
    """Answer, streamed or whole."""
    timing = Timing()
    question, form = await _understood(request, house, owner, timing)
    events = flow.answer(
        question,
        cache=house.cache,
        pool=house.pools[question.row.id],
        line=house.line,
        timing=timing,
        fresh="no-cache" in request.headers.get("cache-control", ""),
    )
    reply = Reply(question.row.id, timing, include_usage=form.include_usage)
    if not form.stream:
        whole = await unless_gone(request, reply.whole(events))
        note(request, cache=timing.cache, instance=timing.instance or None)
        return JSONResponse(whole, headers=timing.headers())
    first = await unless_gone(request, anext(events))  # until it came, an error can still have its own status
    note(request, cache=timing.cache, instance=timing.instance or None)
    return Stream(reply.stream(first, events), "text/event-stream", timing.headers())


@dataclass(frozen=True)
class _Form:
    """How the caller wants the answer."""

    stream: bool
    include_usage: bool


async def _understood(
    request: Request, house: Controller, owner: str, timing: Timing
) -> tuple[canonical.ChatRequest, _Form]:
    """Read, check and decode; the body, which may be large, is let go on return. Raises ControllerError."""
    body = wire.parse(wire.ChatBody, await read_json(request, house.settings))
    row = house.row(body.model)
    note(request, model=row.id)
    if row.kind != "chat":
        raise InvalidRequest(
            "capability_missing",
            f"{row.title} speaks and does not answer. Choose a chat model.",
            param="model",
        )
    started = time.perf_counter()
    clips = await _clips(body, house, owner)
    timing.decode_ms = round(1_000 * (time.perf_counter() - started), 2)
    question = canonical.build(body, row, owner, clips, house.settings)
    note(request, seconds=sum(clip.seconds for clip in question.clips))
    include_usage = bool(body.stream_options and body.stream_options.include_usage)
    return question, _Form(bool(body.stream), include_usage)


async def _clips(body: wire.ChatBody, house: Controller, owner: str) -> Mapping[tuple[int, int], Clip]:
    """Bring in every recording, by (message, part)."""
    places = [
        (at, index, part)
        for at, message in enumerate(body.messages)
        for index, part in enumerate(message.content)
        if part.type != "text"
    ]
    if len(places) > house.settings.max_clips:
        raise InvalidRequest(
            "too_many_clips",
            f"The conversation holds {len(places)} recordings; at most {house.settings.max_clips} are taken. "
            "Start over.",
            param="messages",
        )
    clips: dict[tuple[int, int], Clip] = {}
    for at, index, part in places:
        if isinstance(part, wire.FilePart):
            clips[at, index] = house.files.get(owner, part.file.file_id).clip
        elif isinstance(part, wire.AudioPart):
            param = f"messages[{at}].content[{index}].input_audio.data"
            clips[at, index] = await house.ingest.clip_from_base64(part.input_audio.data, param)
    return clips
