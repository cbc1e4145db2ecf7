"""Pictures of a clip: loudness over time as bars, and pitch over time as a spectrogram.

Both read only what they draw, so that a clip of two hours costs a fraction of a second and little memory.
"""

from __future__ import annotations

import base64
import io
import wave
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pcm = npt.NDArray[np.int16]

LOUDEST = 32768  # of 16-bit samples
PEAKS = 600  # of a clip, however long: two for each bar that the widest page has room for
QUIET_PEAK = 0.05  # a clip quieter than this is not drawn as if it were loud
WINDOW = 512  # samples; 32 ms at 16 kHz
COLUMNS, ROWS = 480, 128
LOOKS = 3  # windows for each column: one alone may fall between two words of a long clip
FLOOR_DB, CEILING_DB = -65.0, -8.0  # below the loudest pitch of the clip
SHADES = 32  # more cannot be told apart, and make the picture larger
COOL, WARM = np.array([15, 138, 118]), np.array([242, 153, 74])  # jade to ember, RGB


def pcm(wav: bytes) -> Pcm:
    """Read a 16-bit mono WAV, shape (samples,); nobody may write into it."""
    with wave.open(io.BytesIO(wav)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")


def peaks(sound: Pcm) -> list[float]:
    """Return the loudest sample in each of PEAKS stretches of time, 1.0 for the loudest of the clip."""
    if not len(sound):
        return [0.0] * PEAKS
    starts = np.linspace(0, len(sound), PEAKS, endpoint=False).astype(int)
    # Not abs(), which would copy the clip, and of which the lowest sample has none.
    above = np.maximum.reduceat(sound, starts).astype(float)
    below = np.minimum.reduceat(sound, starts).astype(float)
    loudness = np.maximum(above, -below) / LOUDEST
    return [round(float(peak), 3) for peak in loudness / max(loudness.max(), QUIET_PEAK)]


def spectrogram(sound: Pcm) -> str:
    """Return a PNG as a data URI: which pitches sound when, low at the bottom, silence see-through."""
    image = Image.fromarray((_levels(sound) * (SHADES - 1)).round().astype(np.uint8), mode="P")
    colours = _colours(np.linspace(0, 1, SHADES))
    image.putpalette(colours[:, :3].tobytes())
    png = io.BytesIO()
    image.save(png, "PNG", transparency=colours[:, 3].tobytes())
    return f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"


def _levels(sound: Pcm) -> npt.NDArray[Any]:
    """Return the strength of each pitch over time, 0 to 1, shape (ROWS, COLUMNS), high pitches first."""
    if len(sound) < WINDOW:
        sound = np.pad(sound, (0, WINDOW - len(sound)))
    starts = np.linspace(0, len(sound) - WINDOW, COLUMNS * LOOKS).astype(int)
    frames = sound[starts[:, None] + np.arange(WINDOW)].astype(np.float32) / LOUDEST
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), axis=1)[:, :-1]) ** 2
    power = power.reshape(COLUMNS, LOOKS, ROWS, -1).mean(axis=(1, 3)).T[::-1]
    decibels = 10 * np.log10(power / max(float(power.max()), 1e-9) + 1e-9)
    levels: npt.NDArray[Any] = np.clip((decibels - FLOOR_DB) / (CEILING_DB - FLOOR_DB), 0, 1)
    return levels


def _colours(levels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return RGBA, shape (levels, 4): stronger is warmer and more opaque."""
    warmth = np.clip(levels * 1.6 - 0.6, 0, 1)[:, None]
    colour = COOL * (1 - warmth) + WARM * warmth
    opacity = (levels**1.2 * 255)[:, None]
    return np.concatenate([colour, opacity], axis=1).astype(np.uint8)
