"""Recordings as delivered, read piece by piece: any rate and channels to mono, 16 kHz, 16-bit."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Self

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from training.data.ledger import Rejected
from training.data.schema import SAMPLE_RATE

Pcm = NDArray[np.int16]  # (samples,), mono, 16 kHz

FULL_SCALE = 32_768  # of 16-bit samples
LOUDNESS_SAMPLES = SAMPLE_RATE // 50  # 20 ms


class Recording:
    """A sound file, open; only what is asked for is decoded, so a file of hours costs no more than a clip."""

    def __init__(self, sound: Path | bytes, name: str) -> None:
        """Open a file, or the bytes of one. Raises Rejected where it is not sound."""
        self.name = name
        if isinstance(sound, Path) and not sound.exists():
            raise Rejected("no_audio", f"{name} is not there")
        try:
            self._file = soundfile.SoundFile(io.BytesIO(sound) if isinstance(sound, bytes) else sound)
        except (soundfile.LibsndfileError, OSError) as error:
            raise Rejected("undecodable", f"{name}: {_reason(error)}") from None
        self.rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.seconds: float = self._file.frames / self.rate

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def repairs(self) -> list[str]:
        """What `read` puts right, by the names of `ledger.REPAIRS`."""
        wanted = {"resampled": self.rate != SAMPLE_RATE, "mixed_down": self.channels > 1}
        return [name for name, needed in wanted.items() if needed]

    def read(self, start: float = 0.0, end: float | None = None) -> Pcm:
        """The samples (samples,) from `start` to `end` in seconds.

        Raises Rejected: cannot be decoded, ends before `end`, holds values that are not numbers.
        """
        first = round(start * self.rate)
        last = self._file.frames if end is None else round(end * self.rate)
        plain = self._file.subtype == "PCM_16" and not self.repairs
        try:
            self._file.seek(first)
            sound = self._file.read(last - first, dtype="int16" if plain else "float32")
        except soundfile.LibsndfileError as error:
            raise Rejected("undecodable", f"{self.name}: {_reason(error)}") from None
        if len(sound) < last - first:
            missing = (last - first - len(sound)) / self.rate
            raise Rejected("outside_audio", f"{self.name} ends {missing:.2f} s too early")
        return sound if plain else self._standard(sound)

    def _standard(self, sound: NDArray[np.float32]) -> Pcm:
        if not np.isfinite(sound).all():
            raise Rejected("not_finite", f"{self.name} holds NaN or infinity")
        if sound.ndim > 1:
            sound = sound.mean(axis=1, dtype=np.float32)
        if self.rate != SAMPLE_RATE:
            sound = soxr.resample(sound, self.rate, SAMPLE_RATE, quality="HQ")
        return np.clip(np.rint(sound * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def mix(sides: list[Pcm]) -> Pcm:
    """Several microphones of one length (samples,) as one."""
    total = np.sum(sides, axis=0, dtype=np.int32)
    return np.clip(total, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def loudness(pcm: Pcm) -> float:
    """Of the loudest 20 ms, in dB below full scale; minus infinity for digital silence."""
    whole = pcm[: pcm.size // LOUDNESS_SAMPLES * LOUDNESS_SAMPLES] if pcm.size >= LOUDNESS_SAMPLES else pcm
    frames = whole.reshape(-1, min(LOUDNESS_SAMPLES, whole.size)).astype(np.float32)
    power = float((frames**2).mean(axis=1).max()) / FULL_SCALE**2
    return 10 * float(np.log10(power)) if power else -np.inf


def sha256(pcm: Pcm) -> str:
    """Of the samples alone, so that a file's container and tags do not matter."""
    return hashlib.sha256(pcm.astype("<i2", copy=False).tobytes()).hexdigest()


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", "") or error).rstrip(".")
