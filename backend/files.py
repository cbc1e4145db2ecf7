"""Uploaded recordings: in memory, bounded in bytes, number and age, each seen by its owner alone."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from backend.audio import Clip
from backend.errors import NotFound
from backend.identity import ANONYMOUS

_MAX_FILES = 10_000  # however small: uploads of the same sound take no further room


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


class FileStore:
    """Keeps clips by id. The same sound uploaded twice is held once."""

    def __init__(
        self, max_bytes: int, max_age_s: float, per_owner: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._per_owner = per_owner
        self._clock = clock
        self._files: dict[str, File] = {}  # oldest first
        self._clips: dict[tuple[str, bool], tuple[Clip, int]] = {}  # by sound, with the number of its files
        self._bytes = 0

    def add(self, owner: str, clip: Clip, filename: str, size: int) -> File:
        """Keep a clip; the owner's oldest, then anyone's oldest, make room."""
        self._drop_expired()
        mine = [file for file in self._files.values() if file.owner == owner]
        if owner != ANONYMOUS and len(mine) >= self._per_owner:
            self._drop(mine[0])
        clip = self._hold(clip)
        now = self._clock()
        file = File(
            id=f"file-{secrets.token_urlsafe(18)}",
            owner=owner,
            clip=clip,
            filename=filename,
            bytes=size,
            created_at=int(now),
            expires_at=int(now + self._max_age_s),
        )
        self._files[file.id] = file
        while len(self._files) > _MAX_FILES or (self._bytes > self._max_bytes and len(self._files) > 1):
            self._drop(next(iter(self._files.values())))
        return file

    def get(self, owner: str, file_id: str) -> File:
        """Return a file. Raises NotFound when it is gone or somebody else's, without saying which."""
        self._drop_expired()
        file = self._files.get(file_id)
        if file is None or file.owner != owner:
            raise NotFound(
                "file_not_found",
                "There is no such file, or it has expired. Upload the recording again.",
                param="file_id",
            )
        return file

    def list(self, owner: str) -> list[File]:
        """Return the owner's files, newest first; nothing for a caller who cannot be told from any other."""
        self._drop_expired()
        if owner == ANONYMOUS:
            return []
        return [file for file in reversed(self._files.values()) if file.owner == owner]

    def delete(self, owner: str, file_id: str) -> None:
        """Forget a file. Raises NotFound."""
        self._drop(self.get(owner, file_id))

    def _hold(self, clip: Clip) -> Clip:
        key = (clip.sha256, clip.public)
        held, count = self._clips.get(key, (clip, 0))
        self._clips[key] = (held, count + 1)
        self._bytes += 0 if count else held.pcm.nbytes
        return held

    def _drop(self, file: File) -> None:
        del self._files[file.id]
        key = (file.clip.sha256, file.clip.public)
        held, count = self._clips.pop(key)
        if count > 1:
            self._clips[key] = (held, count - 1)
        else:
            self._bytes -= held.pcm.nbytes

    def _drop_expired(self) -> None:
        now = self._clock()
        while self._files:
            oldest = next(iter(self._files.values()))
            if oldest.expires_at > now:
                return
            self._drop(oldest)
