"""What a clip may be, and the one error for a clip that is not: constants, units, sentences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000  # Hz
BYTES_PER_SAMPLE = 2  # int16
FULL_SCALE = 32_768  # the int16 step count that stands for 1.0
SILENCE_PEAK = 32  # of FULL_SCALE: -60 dBFS, below any microphone in a quiet room

Pcm = NDArray[np.int16]


class AudioError(ValueError):
    """Why a clip cannot be used: a `code` for programs and a sentence for the person who sent it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Limits:
    """What a clip may be. Seconds are of sound, bytes are of the file as sent, rates are in Hz."""

    max_bytes: int = 25 * 1024 * 1024
    max_seconds: float = 300.0
    min_seconds: float = 0.1
    max_channels: int = 6  # a film's 5.1; PyAV's planar frames of 8 and more crash
    min_sample_rate: int = 4_000
    max_sample_rate: int = 192_000
    takes_silence: bool = False  # for those to whom nothing said is an answer

    @property
    def max_samples(self) -> int:
        """The most samples of decoded sound."""
        return round(self.max_seconds * SAMPLE_RATE)

    @property
    def min_samples(self) -> int:
        """The fewest samples of decoded sound."""
        return round(self.min_seconds * SAMPLE_RATE)

    def check_size(self, size: int) -> None:
        """Raise AudioError unless a file of `size` bytes is worth opening."""
        if size == 0:
            raise AudioError("audio_empty", "The file is empty. Record again, or choose another file.")
        if size > self.max_bytes:
            raise AudioError(
                "audio_too_large",
                f"The file is larger than {self.max_bytes / 2**20:g} MB. "
                "Send a shorter clip, or a compressed one such as MP3 or M4A.",
            )

    def check_stream(self, channels: int, sample_rate: int) -> None:
        """Raise AudioError unless a stream of this shape may be decoded."""
        if channels < 1 or channels > self.max_channels:
            raise AudioError(
                "audio_too_many_channels",
                f"The recording has {channels} sound channels, and at most {self.max_channels} are taken. "
                "Save it as ordinary stereo or mono sound and send it again.",
            )
        if not self.min_sample_rate <= sample_rate <= self.max_sample_rate:
            raise AudioError(
                "audio_sample_rate",
                f"The file says it holds {sample_rate:,} samples a second; {self.min_sample_rate:,} to "
                f"{self.max_sample_rate:,} are taken. Export it again at 16,000 or 48,000.",
            )

    def check_length(self, samples: int) -> None:
        """Raise AudioError once `samples` of decoded sound are more than may come."""
        if samples > self.max_samples:
            raise AudioError(
                "audio_too_long",
                f"The recording is longer than {spoken_length(self.max_seconds)}. "
                "Cut it, and send one part at a time.",
            )

    def check_pcm(self, pcm: Pcm) -> None:
        """Raise AudioError unless the whole decoded clip can be listened to."""
        self.check_length(pcm.size)
        if pcm.size == 0:
            raise AudioError("audio_empty", "The file holds no sound. Record again, or choose another file.")
        if pcm.size < self.min_samples:
            raise AudioError(
                "audio_too_short",
                f"The recording lasts {pcm.size / SAMPLE_RATE:.2f} seconds; at least {self.min_seconds:g} "
                "are needed. Record again and speak a little longer.",
            )
        if not self.takes_silence and max(int(pcm.max()), -int(pcm.min())) < SILENCE_PEAK:
            raise AudioError(
                "audio_silent",
                "The recording is silent. Check that the right microphone is on and not muted, "
                "then record again.",
            )


def spoken_length(seconds: float) -> str:
    """Write a length the way people say it: 90 seconds, 20 minutes, 2 hours."""
    for unit, size in (("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * size and seconds % size == 0 and seconds > 600:
            return f"{seconds / size:g} {unit}s"
    return f"{seconds:g} seconds"


def truncated() -> AudioError:
    """Return the error for a file whose own headers promise clearly more than it holds."""
    return AudioError(
        "audio_truncated",
        "The file ends before the recording does: it was cut off on its way. Send it again, or record anew.",
    )
