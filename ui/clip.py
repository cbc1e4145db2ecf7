"""The clip that a visitor chose, and how one gets from bytes to it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from ui.client import Client

Origin = Literal["sample", "upload", "microphone"]


@dataclass
class Clip:
    """A clip as the models hear it, and where the controller keeps it."""

    title: str
    origin: Origin
    seconds: float
    wav: bytes  # 16 kHz, mono, 16-bit
    file_id: str
    sample_id: str = ""

    @property
    def key(self) -> str:
        """A short name for the sound itself."""
        return fingerprint(self.wav)


def fingerprint(data: bytes) -> str:
    """Return a short name for these bytes."""
    return hashlib.sha256(data).hexdigest()[:16]


def store(client: Client, data: bytes, name: str, origin: Origin, title: str, sample_id: str = "") -> Clip:
    """Hand bytes of any format to the controller and read back what the models hear. Raises ClientError."""
    stored = client.upload(data, name)
    wav = client.content(stored.file_id)
    return Clip(title, origin, stored.seconds, wav, stored.file_id, sample_id)


def ensure_stored(client: Client, clip: Clip) -> str:
    """Return the clip's file id; a controller that was restarted in between is given the clip anew.

    Raises ClientError.
    """
    if not client.has(clip.file_id):
        clip.file_id = client.upload(clip.wav, "clip.wav").file_id
    return clip.file_id
