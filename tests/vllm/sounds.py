"""Clips for the tests of the model: made here, so that nothing has to be fetched."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.geometry import SAMPLE_RATE

Clip = NDArray[np.float32]


def clip(seconds: float, seed: int = 0) -> Clip:
    """Noise of changing loudness and colour, so that no two windows are alike."""
    samples = round(seconds * SAMPLE_RATE)
    noise = np.random.default_rng(seed).standard_normal(samples)
    times = np.arange(samples) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * times * (200 + 20 * seed + 5 * times))
    return ((0.1 * noise + 0.3 * tone) * (1 + np.sin(times * (3 + seed)))).astype(np.float32) * np.float32(
        0.3
    )
