"""SpecAugment on the encoder's input (paper, section 3.5): runs of mel frames set to 0.

transformers has it in `WhisperModel`, which an audio LLM does not use; this draws as that does, from a seed
of each sample's own, so that neither ranks nor a resumed run change what is masked.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.audiollm_config import SpecAugmentConfig

FEWEST_SPANS = 2  # WhisperConfig.mask_time_min_masks


def masked_frames(
    frames: int, config: SpecAugmentConfig, rng: np.random.Generator, width: int
) -> NDArray[np.bool_]:
    """Which of `width` frames are masked, spans starting within the first `frames`: those that hold sound.

    As `_compute_mask_indices` of transformers' Whisper: p * frames / length spans, rounded up or down by
    chance, at least 2, no two with one start, overlaps allowed.
    """
    mask = np.zeros(width, bool)
    if config.probability == 0:
        return mask
    starts = max(frames - config.length + 1, 0)
    wanted = int(config.probability * frames / config.length + rng.random())
    spans = min(max(wanted, FEWEST_SPANS), width // config.length, starts)
    for start in rng.choice(starts, spans, replace=False) if spans else ():
        mask[start : start + config.length] = True
    return mask


def masked(
    mel: NDArray[np.float32], frames: int, config: SpecAugmentConfig, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A window [mel_bins, 3000] with its masked frames at 0, the middle of Whisper's log-mel range."""
    return np.where(masked_frames(frames, config, rng, mel.shape[-1]), np.float32(0), mel)
