"""Uploaded recordings: in memory, bounded in bytes, number and age, each seen by its owner alone.

With a Redis, what was uploaded at one controller can be used at another (shared_files.py).
"""

from __future__ import annotations

import itertools
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from backend.audio import Clip
from backend.errors import NotFound
from backend.identity import ANONYMOUS

if TYPE_CHECKING:
    from backend.shared_files import SharedFiles

_MAX_FILES = 10_000  # however small: uploads of the same sound take no further room
_ADDRESS_SHARE = 4  # times as many files as a visitor's, since many people may be behind one address
_ID_BYTES = 18  # of chance
_ID = re.compile(r"file-[A-Za-z0-9_-]{24}", re.ASCII)


@dataclass(frozen=True)
class File:
    """One upload. Times are seconds since 1970; bytes are of the file as it was sent."""

    id: str
    owner: str
    clip: Clip
    filename: str
    bytes: int
    created_at: int
    expires_at: int
    purpose: str = "user_data"


_Sound = tuple[str, bool]  # a clip's name, and whether it is public


@dataclass
class _Shelf:
    """What one owner keeps: files by id, numbered as they came, and the bytes of their sound, each once."""

    files: dict[str, int] = field(default_factory=dict)
    sounds: Counter[_Sound] = field(default_factory=Counter)
    bytes: int = 0

    @property
    def oldest(self) -> str:
        """The file that came first; there is one on every shelf."""
        return next(iter(self.files))

    def put(self, file: File, number: int) -> None:
        """Add a file."""
        self.files[file.id] = number
        self.sounds[_sound(file)] += 1
        self.bytes += file.clip.pcm.nbytes if self.sounds[_sound(file)] == 1 else 0

    def drop(self, file: File) -> None:
        """Take a file away."""
        del self.files[file.id]
        self.sounds[_sound(file)] -= 1
        if not self.sounds[_sound(file)]:
            del self.sounds[_sound(file)]
            self.bytes -= file.clip.pcm.nbytes


class FileStore:
    """Keeps clips by id. The same sound uploaded twice is held once."""

    def __init__(
        self,
        max_bytes: int,
        max_age_s: float,
        per_owner: int,
        shared: SharedFiles | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._per_owner = per_owner
        self._shared = shared
        self._clock = clock
        self._files: dict[str, File] = {}  # in the order they came
        self._shelves: dict[str, _Shelf] = {}  # by owner
        self._clips: dict[_Sound, tuple[Clip, int]] = {}  # with the number of their files
        self._bytes = 0
        self._numbers = itertools.count()
        self._cleared_at = 0  # what was uploaded before is not fetched from elsewhere either

    @property
    def count(self) -> int:
        """How many files are held."""
        return len(self._files)

    @property
    def held_bytes(self) -> int:
        """How many bytes their sound takes in memory."""
        return self._bytes

    async def add(self, owner: str, clip: Clip, filename: str, size: int, purpose: str = "user_data") -> File:
        """Keep a clip. The owner's oldest makes room, or the oldest of whoever keeps the most."""
        now = self._clock()
        file = File(
            id=f"file-{secrets.token_urlsafe(_ID_BYTES)}",
            owner=owner,
            clip=clip,
            filename=filename,
            bytes=size,
            created_at=int(now),
            expires_at=int(now + self._max_age_s),
            purpose=purpose,
        )
        file = self._keep(file)
        if self._shared:
            await self._shared.put(file)
        return file

    async def get(self, owner: str, file_id: str) -> File:
        """Return a file. Raises NotFound when it is gone or somebody else's, without saying which."""
        self._drop_expired()
        file = self._files.get(file_id)
        if self._shared and _ID.fullmatch(file_id):
            if file is None:
                file = await self._fetched(self._shared, owner, file_id)
            elif file.owner == owner and await self._shared.is_deleted(file_id):
                self._drop(file_id)
                file = None
        if file is None or file.owner != owner or file.expires_at <= self._clock():
            raise NotFound(
                "file_not_found",
                "There is no such file, or it has expired. Upload the recording again.",
                param="file_id",
            )
        return file

    async def list(self, owner: str) -> list[File]:
        """Return the owner's files, newest first; nothing for a caller who cannot be told from any other.

        These are the ones that this controller holds.
        """
        self._drop_expired()
        if owner.startswith(ANONYMOUS):
            return []
        shelf = self._shelves.get(owner, _Shelf())
        return [self._files[file_id] for file_id in reversed(shelf.files)]

    async def delete(self, owner: str, file_id: str) -> None:
        """Forget a file. Raises NotFound."""
        file = await self.get(owner, file_id)
        self._drop(file_id)
        if self._shared:
            await self._shared.delete(file)

    def clear(self) -> None:
        """Forget every file, whoever's it is."""
        self._cleared_at = int(self._clock())
        for file_id in list(self._files):
            self._make_room(file_id)

    async def close(self) -> None:
        """Finish what is on its way to the other controllers."""
        if self._shared:
            await self._shared.close()

    async def _fetched(self, shared: SharedFiles, owner: str, file_id: str) -> File | None:
        file = await shared.get(file_id)
        if file is None or file.owner != owner or file.created_at <= self._cleared_at:
            return None
        return self._files.get(file_id) or self._keep(file)

    def _keep(self, file: File) -> File:
        self._drop_expired()
        most = self._per_owner * (_ADDRESS_SHARE if file.owner.startswith(ANONYMOUS) else 1)
        mine = self._shelves.get(file.owner)
        if mine and len(mine.files) >= most:
            self._make_room(mine.oldest)
        file = replace(file, clip=self._hold(file))
        self._files[file.id] = file
        self._shelves.setdefault(file.owner, _Shelf()).put(file, next(self._numbers))
        while len(self._files) > _MAX_FILES or (self._bytes > self._max_bytes and len(self._files) > 1):
            self._make_room(self._least_missed(file))
        return file

    def _least_missed(self, new: File) -> str:
        """Return the oldest file of the owner who keeps the most bytes, or the most files if those are many.

        It is never the new one. Of two who keep as much, the one with the older file loses it.
        """
        too_many = len(self._files) > _MAX_FILES
        shelves = (shelf for shelf in self._shelves.values() if shelf.oldest != new.id)
        fullest = max(
            shelves,
            key=lambda shelf: (len(shelf.files) if too_many else shelf.bytes, -shelf.files[shelf.oldest]),
        )
        return fullest.oldest

    def _hold(self, file: File) -> Clip:
        """Count one more file of a sound; return the clip that all of them share."""
        held, count = self._clips.get(_sound(file), (file.clip, 0))
        self._clips[_sound(file)] = (held, count + 1)
        self._bytes += 0 if count else held.pcm.nbytes
        return held

    def _drop(self, file_id: str) -> None:
        file = self._files.pop(file_id, None)
        if file is None:
            return
        shelf = self._shelves[file.owner]
        shelf.drop(file)
        if not shelf.files:
            del self._shelves[file.owner]
        held, count = self._clips.pop(_sound(file))
        if count > 1:
            self._clips[_sound(file)] = (held, count - 1)
        else:
            self._bytes -= held.pcm.nbytes

    def _make_room(self, file_id: str) -> None:
        self._drop(file_id)
        if self._shared:
            self._shared.take_back(file_id)

    def _drop_expired(self) -> None:
        """Drop from the oldest on; a copy of another controller's, which came later, waits for its turn."""
        now = self._clock()
        while self._files:
            oldest = next(iter(self._files.values()))
            if oldest.expires_at > now:
                return
            self._make_room(oldest.id)


def _sound(file: File) -> _Sound:
    return file.clip.sha256, file.clip.public
