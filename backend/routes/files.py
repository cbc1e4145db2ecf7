"""Recordings: sent once, referred to by id."""

from __future__ import annotations

import time
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from backend import wire
from backend.body import read_form
from backend.errors import InvalidRequest
from backend.files import File
from backend.routes.parts import HeldShare, House, Owner, note
from model.audio import SAMPLE_RATE

router = APIRouter(prefix="/v1/files")
_MAX_NAME = 200
_Purpose = Literal[
    "user_data", "assistants", "batch", "evals", "fine-tune", "vision"
]  # OpenAI's, all one here


class _Upload(BaseModel):
    """The fields beside the file that count here."""

    purpose: _Purpose = "user_data"


class _Page(BaseModel):
    """Which part of a list is asked for."""

    after: str | None = None
    limit: int = Field(default=10_000, ge=1, le=10_000)
    order: Literal["asc", "desc"] = "desc"
    purpose: str | None = None


@router.post("")
async def upload(request: Request, house: House, share: HeldShare, owner: Owner) -> dict[str, Any]:
    """Decode a recording and keep it for the caller."""
    epoch = house.host.epoch
    form = await read_form(request, house.settings, house.settings.max_audio_bytes, share)
    if form.file is None:
        raise InvalidRequest("missing_field", "Send the recording in a field named `file`.", param="file")
    purpose = wire.parse(_Upload, wire.form_values(form.fields)).purpose
    started = time.perf_counter()
    clip = await house.ingest.clip(form.file, owner=owner)
    decode_ms = round(1_000 * (time.perf_counter() - started), 1)
    house.host.check(epoch)
    file = await house.files.add(owner, clip, form.filename[-_MAX_NAME:], len(form.file), purpose)
    note(request, bytes=file.bytes, seconds=clip.seconds)
    card = _card(file)
    card["meralion"]["decode_ms"] = decode_ms
    return card


@router.get("")
async def files(request: Request, house: House, owner: Owner) -> dict[str, Any]:
    """List the caller's recordings, newest first unless asked otherwise."""
    page = wire.parse(_Page, dict(request.query_params))
    found = [file for file in await house.files.list(owner) if page.purpose in (None, file.purpose)]
    if page.order == "asc":
        found.reverse()
    if page.after is not None:
        ids = [file.id for file in found]
        found = found[ids.index(page.after) + 1 :] if page.after in ids else []
    return {
        "object": "list",
        "data": [_card(file) for file in found[: page.limit]],
        "has_more": len(found) > page.limit,
    }


@router.get("/{file_id}")
async def file(file_id: str, house: House, owner: Owner) -> dict[str, Any]:
    """Show one recording's card."""
    return _card(await house.files.get(owner, file_id))


@router.delete("/{file_id}")
async def delete(file_id: str, house: House, owner: Owner) -> dict[str, Any]:
    """Forget a recording."""
    await house.files.delete(owner, file_id)
    return {"id": file_id, "object": "file", "deleted": True}


@router.get("/{file_id}/content")
async def content(file_id: str, house: House, owner: Owner) -> Response:
    """Return a recording as 16 kHz mono 16-bit WAV, which is what a model hears."""
    file = await house.files.get(owner, file_id)
    return Response(file.clip.wav(), media_type="audio/wav")


def _card(file: File) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": file.created_at,
        "expires_at": file.expires_at,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "meralion": {
            "seconds": file.clip.seconds,
            "sha256_pcm": file.clip.sha256,
            "sample_rate": SAMPLE_RATE,
        },
    }
