"""Sound as it comes from browsers, made into what the models and the turn detector take: 16 kHz, mono."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np

from ui.voice.levels import FRAME, FRAME_S, RATE, Pcm, levels_db
from ui.voice.turns import ABOVE_ON_DB, PRE_ROLL_S, SHORTEST_S, SOFTEST_DB, TAIL_S

QUIETEST = 0.1  # of a recording's frames: taken for the noise of the room


class Ear:
    """Turns a microphone's frames of any rate and number of channels into frames of FRAME samples."""

    def __init__(self) -> None:
        self._resampler: Any = None
        self._form: tuple[Any, ...] = ()
        self._rest: Pcm = np.zeros(0, np.int16)

    def frames(self, frame: Any) -> Iterator[Pcm]:
        """Yield what a frame of PyAV completes."""
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if form != self._form:
            # The layout is kept, for FFmpeg's own way to mono is louder than the average of the channels.
            self._resampler = av.AudioResampler(format="s16", layout=frame.layout.name, rate=RATE)
            self._form = form
        pieces = [self._rest, *(_mono(out) for out in self._resampler.resample(frame))]
        pcm = np.concatenate(pieces)
        whole = len(pcm) // FRAME * FRAME
        self._rest = pcm[whole:]
        yield from pcm[:whole].reshape(-1, FRAME)


@dataclass(frozen=True)
class Speech:
    """The part of a recording in which somebody speaks, and how long the silence after it was, in seconds."""

    pcm: Pcm
    quiet_s: float


def find_speech(pcm: Pcm) -> Speech | None:
    """Return the part of a recording from the first to the last speech; None for silence or steady noise."""
    levels = levels_db(pcm)
    if not len(levels):
        return None
    floor = float(np.quantile(levels, QUIETEST))
    loud = np.flatnonzero((levels > floor + ABOVE_ON_DB) & (levels > SOFTEST_DB))
    if len(loud) * FRAME_S < SHORTEST_S:
        return None
    first = max(0, loud[0] - round(PRE_ROLL_S / FRAME_S)) * FRAME
    last = (loud[-1] + 1 + round(TAIL_S / FRAME_S)) * FRAME
    return Speech(pcm[first:last], float(len(pcm) / RATE - (loud[-1] + 1) * FRAME_S))


def read_wav(wav: bytes) -> Pcm:
    """Return a 16-bit WAV of any rate and channels as 16 kHz mono. Raises ValueError for anything else."""
    try:
        with wave.open(io.BytesIO(wav)) as file:
            rate, channels = file.getframerate(), file.getnchannels()
            if file.getsampwidth() != 2 or not rate:
                raise ValueError("not 16 bits a sample")
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"not a WAV: {error}") from error
    pcm = np.frombuffer(data[: len(data) // (2 * channels) * 2 * channels], "<i2").reshape(-1, channels)
    mono: Pcm = pcm.astype(np.int32).mean(axis=1).astype(np.int16)
    return mono if rate == RATE else _resampled(mono, rate)


def to_wav(pcm: Pcm) -> bytes:
    """Return sound as a WAV, 16 kHz, mono."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm.astype("<i2").tobytes())
    return out.getvalue()


def _resampled(pcm: Pcm, rate: int) -> Pcm:
    if not len(pcm):
        return pcm
    frame = av.AudioFrame.from_ndarray(pcm[None, :], format="s16", layout="mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    return np.concatenate([_mono(out) for out in (*resampler.resample(frame), *resampler.resample(None))])


def _mono(frame: Any) -> Pcm:
    """Return the average of a packed frame's channels."""
    samples = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)
    mono: Pcm = samples.astype(np.int32).mean(axis=1).astype(np.int16)
    return mono
