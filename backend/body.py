"""Reads bodies, bounded while they arrive: too many bytes, parts or seconds end the reading at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pydantic_core
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from backend.budget import Share
from backend.errors import InvalidRequest, TooLarge, TooSlow, Unsupported
from backend.settings import Settings

_MULTIPART_OVERHEAD = 64 * 2**10  # bytes for boundaries, headers and the small fields beside a file
_MAX_FIELDS = 32
_MAX_VALUES = 250_000  # of JSON; a recording is one
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


async def read_json(request: Request, settings: Settings) -> dict[str, Any]:
    """Read a JSON object. Raises InvalidRequest and its kin."""
    if _content_type(request) != "application/json":
        raise Unsupported(
            "content_type", "Send the body as JSON, with the header Content-Type: application/json."
        )
    too_large = TooLarge(
        "body_too_large",
        f"The request is larger than {settings.max_json_bytes / 2**20:g} MB. Send a shorter clip.",
    )
    data = bytearray()
    async for chunk in _bounded(request, settings.max_json_bytes, settings.body_timeout_s, too_large):
        data += chunk
    try:
        parsed = await off_loop(len(data), _parse, data)
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


def _parse(data: bytearray) -> Any:
    """Parse JSON. Raises ValueError, also for more values than any honest request has.

    Each would cost far more memory than the two bytes it is written with.
    """
    if sum(data.count(mark) for mark in (b",", b"[", b"{")) > _MAX_VALUES:
        raise ValueError("too many values")
    return pydantic_core.from_json(data)


async def off_loop(size: int, work: Callable[..., T], *args: Any) -> T:
    """Do work on `size` bytes here when it is little, in a thread when it would hold up other requests."""
    return work(*args) if size < _SMALL else await asyncio.to_thread(work, *args)


class _InMemory(MultiPartParser):
    spool_max_size = 2**40  # the stream is bounded, and a visitor's voice is not written to disk


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _bounded(
    request: Request, limit: int, timeout_s: float, too_large: TooLarge, share: Share | None = None
) -> AsyncGenerator[bytes]:
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Unsupported(
            "content_encoding", "Compressed bodies are not taken. Send it without Content-Encoding."
        )
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limit:
        raise too_large
    begun = asyncio.get_running_loop().time()
    size = 0
    chunks = request.stream()
    while True:
        try:
            async with asyncio.timeout_at(begun + timeout_s + size / _SLOWEST):
                chunk = await anext(chunks, None)
        except TimeoutError:
            raise TooSlow(
                "body_too_slow", "The request did not arrive in time. Check the network, try again."
            ) from None
        if chunk is None:
            return
        size += len(chunk)
        if size > limit:
            raise too_large
        if share is not None:
            share.hold(size)
        yield chunk
