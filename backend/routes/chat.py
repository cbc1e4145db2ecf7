"""Questions about recordings, or about words alone."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import Scope

from backend import flow, identity, tracing, wire
from backend import request as canonical
from backend.audio import Clip
from backend.body import read_json
from backend.budget import Share
from backend.controller import Controller
from backend.errors import InvalidRequest
from backend.remote_audio import is_url
from backend.reply import Reply
from backend.routes.parts import Stream, clocked, controller, note, share_of, unless_gone
from backend.timing import Timing


async def chat(request: Request) -> Response:
    """Answer, streamed or whole."""
    house, owner = controller(request), identity.caller(request).owner
    epoch = house.host.admit()
    timing = Timing()
    question, form = await _understood(request, house, owner, timing, share_of(request))
    house.host.check(epoch)
    clocked(request, timing)
    wish = request.headers.get("cache-control", "").lower()
    batches = flow.answer(question, house, timing, fresh="no-cache" in wish, keep="no-store" not in wish)
    reply = Reply(question.row.id, timing, include_usage=form.include_usage)
    if form.stream:
        return Stream(reply.stream(batches), lambda: ("text/event-stream", timing.headers()), events=True)
    whole = await unless_gone(request.receive, reply.whole(batches))
    return JSONResponse(whole, headers=timing.headers())


@dataclass(frozen=True)
class _Form:
    """How the caller wants the answer."""

    stream: bool
    include_usage: bool


async def _understood(
    request: Request, house: Controller, owner: str, timing: Timing, share: Share
) -> tuple[canonical.ChatRequest, _Form]:
    """Read, check and decode; the body, which may be large, is let go on return. Raises ControllerError."""
    body = wire.parse(wire.ChatBody, await read_json(request, house.settings, share))
    row = house.row(body.model)
    note(request, model=row.id)
    if row.kind != "chat":
        raise InvalidRequest(
            "capability_missing",
            f"{row.title} speaks and does not answer. Choose a chat model.",
            param="model",
        )
    started = time.perf_counter()
    with tracing.span("decode", model=row.id):
        clips, size = await _clips(body, house, owner)
    share.hold(size)  # what is left of the body, until the answer has ended
    timing.decode_ms = round(1_000 * (time.perf_counter() - started), 2)
    question = canonical.build(body, row, owner, clips, house.settings)
    timing.audio_s = sum(clip.seconds for clip in question.clips)
    note(request, seconds=timing.audio_s)
    include_usage = bool(body.stream_options and body.stream_options.include_usage)
    return question, _Form(bool(body.stream), include_usage)


async def _clips(
    body: wire.ChatBody, house: Controller, owner: str
) -> tuple[Mapping[tuple[int, int], Clip], int]:
    """Bring in every recording, by (message, part); say how many bytes came with the request itself."""
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
    size = 0
    for at, index, part in places:
        if isinstance(part, wire.FilePart):
            clips[at, index] = (await house.files.get(owner, part.file.file_id)).clip
        else:
            sound, name = part.source
            param = f"messages[{at}].content[{index}].{name}"
            if is_url(sound):
                clips[at, index] = await house.ingest.clip(
                    await house.remote.fetch(sound, param), owner=owner
                )
            else:
                clips[at, index] = await house.ingest.clip_from_base64(sound, param, owner=owner)
            size += clips[at, index].pcm.nbytes
    return clips, size


class _Named(Route):
    """A route that says which one it is, as FastAPI's do."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        return match, {**child, "route": self}


ROUTE = _Named("/v1/chat/completions", chat, methods=["POST"])
"""Without FastAPI's dependencies, whose solving takes a tenth of what a gateway may add to an answer."""
