"""How loud a moment of sound is, in the band where voices are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]  # mono, shape (samples,)

RATE = 16_000  # samples a second
FRAME_S = 0.02
FRAME = round(RATE * FRAME_S)  # 320 samples
BAND_HZ = (150, 4000)  # below is hum and handling, above is hiss
_BINS = slice(*(round(hertz * FRAME / RATE) for hertz in BAND_HZ))
_WINDOW = np.hanning(FRAME).astype(np.float32)
# So that a full-scale sine in the band is 0 dB.
_FULL_SCALE = float((_WINDOW**2).sum() * FRAME / 4 * 32768**2)
SILENCE_DB = -100.0  # what digital silence is taken for


def level_db(frame: Pcm) -> float:
    """Return the loudness of one frame of FRAME samples, in dB below full scale."""
    return float(levels_db(frame)[0])


def levels_db(pcm: Pcm) -> NDArray[np.float64]:
    """Return the loudness of each whole frame, in dB below full scale, shape (frames,)."""
    frames = pcm[: len(pcm) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float32) * _WINDOW
    power = (np.abs(np.fft.rfft(frames, axis=1)[:, _BINS]) ** 2).sum(axis=1)
    decibels: NDArray[np.float64] = np.maximum(10 * np.log10(power / _FULL_SCALE + 1e-12), SILENCE_DB)
    return decibels
