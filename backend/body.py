"""Reads bodies, bounded while they arrive: too many bytes, parts or seconds end the reading at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pydantic_core
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from backend.budget import Share
from backend.errors import InvalidRequest, TooLarge, TooSlow, Unsupported
from backend.settings import Settings

_MULTIPART_OVERHEAD = 64 * 2**10  # bytes for boundaries, headers and the small fields beside a file
_MAX_FIELDS = 32
_MAX_VALUES = 250_000  # of JSON; a recording is one
_MARKS = (b",", b"[", b"{")  # every value but the first follows one
_LONG = 4 * 2**10  # bytes between two quotes that are worth skipping
_MAX_QUOTES = 1_000  # looked at for it
_BLOCK = 64 * 2**10  # bytes that are compared at once, within the processor's cache
_JSON_SPEED = 16  # bytes of JSON are parsed while one of anything else is worked on
_SLOWEST = 128 * 2**10  # bytes/s: so much longer may a body take, the more of it has come
_SMALL = 256 * 2**10  # bytes that are parsed faster than a thread is asked

T = TypeVar("T")


@dataclass(frozen=True)
class Form:
    """A multipart body: one file at most, and its text fields."""

    file: bytes | None
    filename: str
    fields: dict[str, list[str]] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        """Return the last value of a field, None when it was not sent."""
        return self.fields[name][-1] if name in self.fields else None


async def read_json(request: Request, settings: Settings, share: Share | None = None) -> dict[str, Any]:
    """Read a JSON object; what has come is held in `share`. Raises InvalidRequest and its kin, Busy."""
    if _content_type(request) != "application/json":
        raise Unsupported(
            "content_type", "Send the body as JSON, with the header Content-Type: application/json."
        )
    too_large = TooLarge(
        "body_too_large",
        f"The request is larger than {settings.max_json_bytes / 2**20:g} MB. Send a shorter clip.",
    )
    data = await _whole(request, settings.max_json_bytes, settings.body_timeout_s, too_large, share)
    try:
        parsed = await off_loop(len(data) // _JSON_SPEED, _parse, data)
    except ValueError:
        raise InvalidRequest(
            "json_invalid", "The body is not valid JSON. Check quotes, commas and brackets."
        ) from None
    if not isinstance(parsed, dict):
        raise InvalidRequest("json_invalid", "The body must be a JSON object: {...}.")
    return parsed


async def read_form(request: Request, settings: Settings, max_bytes: int, share: Share | None = None) -> Form:
    """Read a form that carries a recording of at most `max_bytes`. Raises InvalidRequest and its kin.

    What has come is held in `share`.
    """
    if _content_type(request) != "multipart/form-data":
        raise Unsupported(
            "content_type", "Send the recording as multipart/form-data, in a field named `file`."
        )
    too_large = TooLarge(
        "audio_too_large",
        f"The file is larger than {max_bytes / 2**20:g} MB. "
        "Send a shorter clip, or a compressed one such as MP3 or M4A.",
        param="file",
    )
    limit = max_bytes + _MULTIPART_OVERHEAD
    parser = _InMemory(
        request.headers,
        _bounded(request, limit, settings.body_timeout_s, too_large, share),
        max_files=1,
        max_fields=_MAX_FIELDS,
        max_part_size=_MULTIPART_OVERHEAD,
    )
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError):
        raise InvalidRequest(
            "form_invalid",
            f"The form cannot be read. Send one file and at most {_MAX_FIELDS} short fields "
            "as multipart/form-data.",
        ) from None
    fields: dict[str, list[str]] = {}
    file: bytes | None = None
    filename = ""
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if name != "file":
                raise InvalidRequest(
                    "form_invalid", "Send the recording in the field named `file`.", param="file"
                )
            file, filename = await value.read(), value.filename or ""
        else:
            fields.setdefault(name.removesuffix("[]"), []).append(value)
    await form.close()
    return Form(file, filename, fields)


def _parse(data: bytes) -> Any:
    """Parse JSON. Raises ValueError, also for more values than any honest request has.

    Each would cost far more memory than the two bytes it is written with.
    """
    if _without_recordings(data) > 2 * _MAX_VALUES and _marks(data) > _MAX_VALUES:
        raise ValueError("too many values")
    return pydantic_core.from_json(data)


def _without_recordings(data: bytes) -> int:
    """Count the bytes that may be values: all but long runs between two quotes without a mark in them.

    Recordings in base64 are such runs. To skip one takes tens of microseconds, to count its marks hundreds.
    """
    size, begin = len(data), -1
    for _ in range(_MAX_QUOTES):
        end = data.find(b'"', begin + 1)
        if end < 0:
            break
        if end - begin > _LONG and all(data.find(mark, begin + 1, end) < 0 for mark in _MARKS):
            size -= end - begin
        begin = end
    return size


def _marks(data: bytes) -> int:
    whole = np.frombuffer(data, np.uint8)
    blocks = (whole[at : at + _BLOCK] for at in range(0, len(whole), _BLOCK))
    return sum(int(np.count_nonzero(block == mark[0])) for block in blocks for mark in _MARKS)


async def off_loop(size: int, work: Callable[..., T], *args: Any) -> T:
    """Do work on `size` bytes here when it is little, in a thread when it would hold up other requests."""
    return work(*args) if size < _SMALL else await asyncio.to_thread(work, *args)


class _InMemory(MultiPartParser):
    spool_max_size = 2**40  # the stream is bounded, and a visitor's voice is not written to disk


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _whole(
    request: Request, limit: int, timeout_s: float, too_large: TooLarge, share: Share | None
) -> bytes:
    """Read a body at once. Raises InvalidRequest's kin, Busy."""
    _check_head(request, limit, too_large)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout_at(deadline) as clock:
            while (message := await request.receive())["type"] == "http.request":
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > limit:
                    raise too_large
                if share is not None:
                    share.hold(size)
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
                clock.reschedule(deadline + size / _SLOWEST)
    except TimeoutError:
        raise _too_slow() from None
    raise ClientDisconnect


async def _bounded(
    request: Request, limit: int, timeout_s: float, too_large: TooLarge, share: Share | None = None
) -> AsyncGenerator[bytes]:
    """Yield a body as it comes. Raises InvalidRequest's kin."""
    _check_head(request, limit, too_large)
    deadline = asyncio.get_running_loop().time() + timeout_s
    size = 0
    chunks = request.stream()
    while True:
        try:
            async with asyncio.timeout_at(deadline + size / _SLOWEST):
                chunk = await anext(chunks, None)
        except TimeoutError:
            raise _too_slow() from None
        if chunk is None:
            return
        size += len(chunk)
        if size > limit:
            raise too_large
        if share is not None:
            share.hold(size)
        yield chunk


def _check_head(request: Request, limit: int, too_large: TooLarge) -> None:
    """Refuse by what the headers say already."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Unsupported(
            "content_encoding", "Compressed bodies are not taken. Send it without Content-Encoding."
        )
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limit:
        raise too_large


def _too_slow() -> TooSlow:
    return TooSlow("body_too_slow", "The request did not arrive in time. Check the network, try again.")
