"""Uploads for the other controllers: sealed under the file's id, which is the secret, in Redis.

    PREFIX file:ROW   sealed card and sound, until the file expires; or one byte, where it was deleted

A controller puts there at most as many bytes as it holds itself. While Redis is away, files are local.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import struct
import time
from collections import OrderedDict

import numpy as np

from backend import logs
from backend.audio import Clip
from backend.backlog import Backlog
from backend.body import off_loop
from backend.files import File
from backend.redis_link import RedisAway, RedisLink
from backend.seal import row_id, seal, unseal

_DELETED = b"\x00"  # nothing that is sealed begins so
_CHUNK = 512 * 2**10  # bytes a command, each well within the link's patience
_WAITING = (64, 64 * 2**20)  # uploads on their way, and bytes of them
_SHARED_WITHIN_S = 0.5  # so long an upload waits to be known everywhere; then that goes on by itself
_FETCHES = 2  # clips on their way in at once
_AGAIN_S = 1.0  # between attempts to tell of a deletion
_MAX_UNTOLD = 1_000
_GRACE_S = 1.0
_SIZE = struct.Struct(">I")  # of the card, which comes before the sound


class SharedFiles:
    """The files of all controllers of one Redis, by id."""

    def __init__(self, link: RedisLink, max_bytes: int) -> None:
        self._link = link
        self._max_bytes = max_bytes
        self._backlog = Backlog(*_WAITING)
        self._fetching = asyncio.Semaphore(_FETCHES)
        self._mine: OrderedDict[str, int] = OrderedDict()  # bytes of what this controller has put there
        self._bytes = 0
        self._untold: dict[str, int] = {}  # deleted while Redis was away, with their time of expiry
        self._telling: asyncio.Task[None] | None = None

    async def put(self, file: File) -> None:
        """Share an upload; the oldest of this controller make room. One that cannot be shared stays local."""
        if not self._link.up:
            return
        written = asyncio.Event()

        async def write() -> None:
            try:
                if file.id in self._mine:
                    await self._write(file)
            finally:
                written.set()

        size = file.clip.pcm.nbytes
        if size > self._max_bytes or not self._backlog.add(size, write):
            logs.event("file not shared", level=logging.WARNING, bytes=size)
            return
        self._mine[file.id] = size
        self._bytes += size
        while self._bytes > self._max_bytes:
            self.take_back(next(iter(self._mine)))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(written.wait(), _SHARED_WITHIN_S)

    async def get(self, file_id: str) -> File | None:
        """Return what any controller has put there, whoever's it is."""
        async with self._fetching:
            if not self._link.up:
                return None
            with contextlib.suppress(RedisAway):
                data = await self._read(_name(self._link, file_id))
                return await off_loop(len(data), _opened, file_id, data)
        return None

    async def is_deleted(self, file_id: str) -> bool:
        """Whether its owner has deleted it, here or elsewhere."""
        if not self._link.up:
            return False
        deleted = False
        with contextlib.suppress(RedisAway), self._link.guard():
            deleted = await self._link.client.getrange(_name(self._link, file_id), 0, 0) == _DELETED
        if deleted:
            self._withdraw(file_id)
        return deleted

    async def delete(self, file: File) -> None:
        """Make every controller forget a file; while Redis is away, as soon as it is back."""
        self._withdraw(file.id)
        try:
            await self._tell(file.id, file.expires_at)
        except RedisAway:
            while len(self._untold) >= _MAX_UNTOLD:
                del self._untold[next(iter(self._untold))]
            self._untold[file.id] = file.expires_at
            if self._telling is None or self._telling.done():
                self._telling = asyncio.create_task(self._keep_telling())

    def take_back(self, file_id: str) -> None:
        """Remove what this controller has put there, in its turn; copies at other controllers stay."""
        if self._withdraw(file_id):
            self._backlog.add(0, lambda: self._unlink(file_id))

    async def close(self) -> None:
        """Finish what is on its way."""
        await self._backlog.close(_GRACE_S)
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait({self._telling})

    def _withdraw(self, file_id: str) -> bool:
        size = self._mine.pop(file_id, None)
        self._bytes -= size or 0
        return size is not None

    async def _write(self, file: File) -> None:
        """Write piece by piece aside, so that nobody reads a part; a deletion meanwhile stays one."""
        sealed = await off_loop(file.clip.pcm.nbytes, _sealed, file)
        name = _name(self._link, file.id)
        aside = f"{name}:new"
        client = self._link.client
        with contextlib.suppress(RedisAway), self._link.guard():
            await client.set(aside, sealed[:_CHUNK], px=_lifetime_ms(file.expires_at))
            for at in range(_CHUNK, len(sealed), _CHUNK):
                await client.append(aside, sealed[at : at + _CHUNK])
            if not await client.renamenx(aside, name):
                await client.unlink(aside)

    async def _read(self, name: str) -> bytes:
        client = self._link.client
        with self._link.guard():
            size = await client.strlen(name)
            if size > 2 * self._max_bytes:
                return b""
            parts = [
                await client.getrange(name, at, min(at + _CHUNK, size) - 1) for at in range(0, size, _CHUNK)
            ]
        return b"".join(part for part in parts if isinstance(part, bytes))

    async def _unlink(self, file_id: str) -> None:
        if await self.is_deleted(file_id):
            return  # which the others must hear of
        with contextlib.suppress(RedisAway), self._link.guard():
            await self._link.client.unlink(_name(self._link, file_id))

    async def _tell(self, file_id: str, expires_at: int) -> None:
        if not self._link.up:
            raise RedisAway
        with self._link.guard():
            await self._link.client.set(_name(self._link, file_id), _DELETED, px=_lifetime_ms(expires_at))

    async def _keep_telling(self) -> None:
        while self._untold:
            await asyncio.sleep(_AGAIN_S)
            for file_id, expires_at in list(self._untold.items()):
                try:
                    if expires_at > time.time():
                        await self._tell(file_id, expires_at)
                except RedisAway:
                    break
                self._untold.pop(file_id, None)


def _name(link: RedisLink, file_id: str) -> str:
    return f"{link.prefix}file:{row_id(file_id)}"


def _lifetime_ms(expires_at: int) -> int:
    return max(1, round(1_000 * (expires_at - time.time())))


def _sealed(file: File) -> bytes:
    card = {
        "owner": file.owner,
        "public": file.clip.public,
        "filename": file.filename,
        "bytes": file.bytes,
        "created_at": file.created_at,
        "expires_at": file.expires_at,
        "purpose": file.purpose,
    }
    written = json.dumps(card).encode()
    pcm = np.ascontiguousarray(file.clip.pcm, "<i2")
    return seal(file.id, b"".join((_SIZE.pack(len(written)), written, pcm.data)))


def _opened(file_id: str, data: bytes) -> File | None:
    plain = unseal(file_id, data)
    if plain is None:
        return None
    try:
        (size,) = _SIZE.unpack_from(plain)
        card = json.loads(plain[_SIZE.size : _SIZE.size + size])
        pcm = np.frombuffer(plain, np.uint8, offset=_SIZE.size + size).view("<i2").astype(np.int16)
        clip = Clip(pcm, card.pop("public"))
        return File(id=file_id, clip=clip, **card)
    except (ValueError, TypeError, LookupError, struct.error):  # another version wrote it
        return None
