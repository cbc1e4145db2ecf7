"""The clip that a visitor chose, and how one gets from bytes to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ui import waveform
from ui.client import Client

Origin = Literal["sample", "upload", "microphone"]


@dataclass(frozen=True)
class Pictures:
    """What a clip looks like."""

    peaks: list[float]  # from start to end, each 0 to 1
    spectrogram: str  # a PNG as a data URI


@dataclass
class Clip:
    """A clip as the models hear it, and where the controller keeps it."""

    title: str
    origin: Origin
    seconds: float
    wav: bytes  # 16 kHz, mono, 16-bit
    file_id: str
    sample_id: str = ""

    @cached_property
    def pictures(self) -> Pictures:
        """The waveform and the spectrogram, drawn once and forgotten with the clip."""
        sound = waveform.pcm(self.wav)
        return Pictures(waveform.peaks(sound), waveform.spectrogram(sound))


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
