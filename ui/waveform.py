"""Pictures of a clip: loudness over time as bars, and pitch over time as a spectrogram.

Both are plain markup that takes its colours from the page, so that they follow light and dark.
"""

from __future__ import annotations

import base64
import io
import wave
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Samples = npt.NDArray[np.float32]

BARS = 88
QUIET_PEAK = 0.05  # a clip quieter than this is not drawn as if it were loud
WINDOW = 512  # samples; 32 ms at 16 kHz
COLUMNS, ROWS = 320, 128
FLOOR_DB, CEILING_DB = -65.0, -8.0  # below the loudest pitch of the clip
COOL, WARM = np.array([15, 138, 118]), np.array([242, 153, 74])  # jade to ember, RGB


def samples(wav: bytes) -> Samples:
    """Read a 16-bit mono WAV as float samples in [-1, 1), shape (samples,)."""
    with wave.open(io.BytesIO(wav)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    return pcm.astype(np.float32) / np.float32(32768)


def waveform_html(sound: Samples) -> str:
    """Draw the loudness as a row of bars, as tall as the loudest sample in each stretch of time."""
    edges = np.linspace(0, len(sound), BARS + 1).astype(int)
    peaks = np.array([np.abs(sound[a:b]).max(initial=0.0) for a, b in pairwise(edges)])
    percent = np.maximum(peaks / max(float(peaks.max(initial=0.0)), QUIET_PEAK) * 100, 4)
    bars = "".join(f'<i style="height:{height:.0f}%"></i>' for height in percent)
    return f'<div class="m-wave" role="img" aria-label="How loud the clip is from start to end">{bars}</div>'


def spectrogram_html(sound: Samples) -> str:
    """Draw which pitches sound when, low at the bottom; silence is see-through, so any background serves."""
    image = Image.fromarray(_colours(_levels(sound)), mode="RGBA")
    png = io.BytesIO()
    image.save(png, "PNG", compress_level=1)
    data = base64.b64encode(png.getvalue()).decode()
    return (
        f'<img class="m-spectrogram" src="data:image/png;base64,{data}" '
        'alt="Which pitches sound when: time from left to right, low pitches at the bottom"/>'
    )


def _levels(sound: Samples) -> npt.NDArray[Any]:
    """Return the strength of each pitch over time, 0 to 1, shape (ROWS, COLUMNS), high pitches first."""
    padded = np.pad(sound, (0, max(0, WINDOW - len(sound))))
    starts = np.linspace(0, len(padded) - WINDOW, COLUMNS).astype(int)
    frames = padded[starts[:, None] + np.arange(WINDOW)] * np.hanning(WINDOW).astype(np.float32)
    power = np.abs(np.fft.rfft(frames, axis=1)[:, :-1]) ** 2
    power = power.reshape(COLUMNS, ROWS, -1).mean(axis=2).T[::-1]
    decibels = 10 * np.log10(power / max(float(power.max()), 1e-9) + 1e-9)
    levels: npt.NDArray[Any] = np.clip((decibels - FLOOR_DB) / (CEILING_DB - FLOOR_DB), 0, 1)
    return levels


def _colours(levels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return RGBA: stronger is warmer and more opaque."""
    warmth = np.clip(levels * 1.6 - 0.6, 0, 1)[..., None]
    colour = COOL * (1 - warmth) + WARM * warmth
    opacity = (levels**1.2 * 255)[..., None]
    return np.concatenate([colour, opacity], axis=2).astype(np.uint8)
