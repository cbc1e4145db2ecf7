"""Read a request's body, bounded while it arrives: in size, and in the time it takes."""

import asyncio
from collections.abc import AsyncGenerator

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from model.errors import BadRequest, ClientGone, TooLarge, TooSlow

MOST_FIELDS = 32
PATIENCE_S = 60.0  # for a body to arrive, and longer the more of it has come:
SLOWEST = 128 * 2**10  # bytes/s


async def bounded(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """The body's chunks. Raises TooLarge as soon as there are more than `most` bytes, said or sent."""
    said = request.headers.get("content-length", "0")
    size = int(said) if said.isdecimal() else 0
    if size <= most:
        size = 0
        begun = asyncio.get_running_loop().time()
        chunks = request.stream()
        while (chunk := await _next(chunks, begun + PATIENCE_S + size / SLOWEST)) is not None:
            size += len(chunk)
            if size > most:
                break
            yield chunk
    if size > most:
        raise TooLarge("body_too_large", f"The request is larger than {most >> 20} MB. Send a shorter clip.")


async def _next(chunks: AsyncGenerator[bytes, None], deadline: float) -> bytes | None:
    """The next chunk, None at the end. Raises TooSlow and ClientGone."""
    try:
        async with asyncio.timeout_at(deadline):
            return await anext(chunks, None)
    except TimeoutError:
        raise TooSlow(
            "body_too_slow", "The request did not arrive in time. Check the network, try again."
        ) from None
    except ClientDisconnect:
        raise ClientGone from None


async def read_json(request: Request, most: int) -> bytes:
    """The whole body."""
    return b"".join([chunk async for chunk in bounded(request, most)])


async def read_form(request: Request, most: int) -> tuple[bytes, dict[str, str]]:
    """The one file of a multipart body, and its text fields. Raises BadRequest."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise BadRequest("content_type", "Send the audio as multipart/form-data, in a field called 'file'.")
    parser = MultiPartParser(request.headers, bounded(request, most), max_files=1, max_fields=MOST_FIELDS)
    parser.spool_max_size = most + 1  # what people say is never written to disk
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        raise BadRequest(
            "invalid_form", "The form cannot be read. Send one file and a few fields."
        ) from error
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise BadRequest("file_missing", "Send the audio in a form field called 'file'.", "file")
    fields: dict[str, str] = {}
    for name, value in form.multi_items():
        if isinstance(value, str):  # a field that is sent again is a list, as OpenAI's client sends them
            fields[name] = f"{fields[name]},{value}" if name in fields else value
    data = await file.read()
    await form.close()  # its copy of the file
    return data, fields
