"""Recordings: sent once, referred to by id."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from backend.body import read_form
from backend.errors import InvalidRequest
from backend.files import File
from backend.routes.parts import House, Owner, note
from model.audio import SAMPLE_RATE

router = APIRouter(prefix="/v1/files")
_MAX_NAME = 200


@router.post("")
async def upload(request: Request, house: House, owner: Owner) -> dict[str, Any]:
    """Decode a recording and keep it for the caller."""
    form = await read_form(request, house.settings, house.settings.max_audio_bytes)
    if form.file is None:
        raise InvalidRequest("missing_field", "Send the recording in a field named `file`.", param="file")
    started = time.perf_counter()
    clip = await house.ingest.clip(form.file)
    decode_ms = round(1_000 * (time.perf_counter() - started), 1)
    file = house.files.add(owner, clip, form.filename[-_MAX_NAME:], len(form.file))
    note(request, bytes=file.bytes, seconds=clip.seconds)
    card = _card(file)
    card["meralion"]["decode_ms"] = decode_ms
    return card


@router.get("")
async def files(house: House, owner: Owner) -> dict[str, Any]:
    """List the caller's recordings, newest first."""
    return {"object": "list", "data": [_card(file) for file in house.files.list(owner)], "has_more": False}


@router.get("/{file_id}")
async def file(file_id: str, house: House, owner: Owner) -> dict[str, Any]:
    """Show one recording's card."""
    return _card(house.files.get(owner, file_id))


@router.delete("/{file_id}")
async def delete(file_id: str, house: House, owner: Owner) -> dict[str, Any]:
    """Forget a recording."""
    house.files.delete(owner, file_id)
    return {"id": file_id, "object": "file", "deleted": True}


@router.get("/{file_id}/content")
async def content(file_id: str, house: House, owner: Owner) -> Response:
    """Return a recording as 16 kHz mono 16-bit WAV, which is what a model hears."""
    return Response(house.files.get(owner, file_id).clip.wav(), media_type="audio/wav")


def _card(file: File) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": file.created_at,
        "expires_at": file.expires_at,
        "filename": file.filename,
        "purpose": "user_data",
        "status": "processed",
        "meralion": {
            "seconds": file.clip.seconds,
            "sha256_pcm": file.clip.sha256,
            "sample_rate": SAMPLE_RATE,
        },
    }
