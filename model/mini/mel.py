"""Sound to log-mel windows of 30 s, as `model.processing` makes them with transformers' extractor.

faster-whisper's extractor, which is NumPy, has the same filters; it works in float32 where transformers'
works in float64, so they agree to about 1e-5.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor
from numpy.typing import NDArray

from model.geometry import ENCODER_STRIDE, SAMPLE_RATE, WINDOW_SAMPLES, check_samples, states_of
from model.mini.functional import Array

FULL_SCALE = np.float32(32_768)
SMALLEST_VARIANCE = 1e-7  # added before the root, as the extractor does


def windows(pcm: NDArray[np.int16], mel_bins: int = 80, tail: int | None = None) -> list[Array]:
    """Log-mel windows [mel_bins, frames] of a clip (samples,), the last one padded. Raises ClipError.

    3,000 frames each; the last is cut after `tail` states of the encoder, see `model.geometry.states_in`.
    """
    check_samples(pcm.size)
    sound = pcm.astype(np.float32) / FULL_SCALE
    starts = range(0, sound.size, WINDOW_SAMPLES)
    return [
        window(sound[start : start + WINDOW_SAMPLES], mel_bins)[:, : states * ENCODER_STRIDE]
        for start, states in zip(starts, states_of(sound.size, tail), strict=True)
    ]


def window(sound: Array, mel_bins: int = 80) -> Array:
    """The log-mel frames [mel_bins, 3000] of at most 480,000 samples of full scale 1."""
    padded = np.zeros(WINDOW_SAMPLES, np.float32)
    # Over its own samples: what is padded stays zero.
    padded[: sound.size] = (sound - sound.mean()) / np.sqrt(sound.var() + SMALLEST_VARIANCE)
    found: Array = _extractor(mel_bins)(padded, padding=0).astype(np.float32, copy=False)
    return found


@cache
def _extractor(mel_bins: int) -> FeatureExtractor:
    return FeatureExtractor(feature_size=mel_bins, sampling_rate=SAMPLE_RATE)
