"""SpecAugment masks as transformers' WhisperModel does, by a seed of each sample's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperModel

from model.geometry import WINDOW_FRAMES
from training.audiollm_config import SpecAugmentConfig
from training.spec_augment import masked, masked_frames

DRAWS = 600
PAPERS = SpecAugmentConfig()


def ours(frames: int) -> np.ndarray:
    return np.stack(
        [masked_frames(frames, PAPERS, np.random.default_rng([7, n]), WINDOW_FRAMES) for n in range(DRAWS)]
    )


def theirs(frames: int) -> np.ndarray:
    """What WhisperModel masks in windows of which `frames` hold sound."""
    sizes = {"d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 1}
    sizes |= {"decoder_attention_heads": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8, "vocab_size": 16}
    config = WhisperConfig(
        **sizes, num_mel_bins=1, apply_spec_augment=True, mask_time_prob=0.05, mask_time_length=20,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    model = WhisperModel(config).train()
    np.random.seed(7)
    attention = torch.zeros(1, WINDOW_FRAMES, dtype=torch.long)
    attention[:, :frames] = 1
    windows = [model._mask_input_features(torch.ones(1, 1, WINDOW_FRAMES), attention) for _ in range(DRAWS)]
    return torch.cat(windows)[:, 0].numpy() == 0


@pytest.mark.parametrize("frames", [WINDOW_FRAMES, 1_000, 300])
def test_spans_are_as_many_and_as_long_as_whispers(frames: int) -> None:
    own, whispers = ours(frames), theirs(frames)
    for found in (own, whispers):
        assert not found[:, frames:].any()  # padding is left alone
    assert own.sum(1).mean() == pytest.approx(whispers.sum(1).mean(), rel=0.03)
    assert own.sum(1).std() == pytest.approx(whispers.sum(1).std(), rel=0.25)
    assert _runs(own).mean() == pytest.approx(_runs(whispers).mean(), rel=0.05)
    assert _runs(own).min() >= PAPERS.length


def test_a_full_window_has_seven_and_a_half_spans_of_twenty() -> None:
    most, mean = 8 * PAPERS.length, ours(WINDOW_FRAMES).sum(1).mean()
    assert ours(WINDOW_FRAMES).sum(1).max() <= most
    assert 0.93 * 7.5 * PAPERS.length < mean <= 7.5 * PAPERS.length  # a few overlap


def _runs(masks: np.ndarray) -> np.ndarray:
    """The lengths of the masked runs."""
    edges = np.diff(np.pad(masks.astype(int), ((0, 0), (1, 1))), axis=1)
    return np.nonzero(edges == -1)[1] - np.nonzero(edges == 1)[1]


@pytest.mark.parametrize("frames", [1, 19, 20, 21, 40])
def test_short_sound_is_masked_within_itself(frames: int) -> None:
    for number in range(50):
        mask = masked_frames(frames, PAPERS, np.random.default_rng(number), WINDOW_FRAMES)
        assert not mask[frames:].any() and mask.sum() <= max(frames, 0)


def test_masked_frames_are_zero_in_every_bin_and_the_seed_decides_which() -> None:
    mel = np.random.default_rng(0).normal(1, 0.1, (80, WINDOW_FRAMES)).astype(np.float32)
    first, again = (masked(mel, WINDOW_FRAMES, PAPERS, np.random.default_rng(5)) for _ in range(2))
    other = masked(mel, WINDOW_FRAMES, PAPERS, np.random.default_rng(6))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    changed = (first != mel).any(0)
    assert changed.any() and (first[:, changed] == 0).all() and first.dtype == np.float32


def test_probability_zero_masks_nothing() -> None:
    none = SpecAugmentConfig(probability=0)
    assert not masked_frames(WINDOW_FRAMES, none, np.random.default_rng(0), WINDOW_FRAMES).any()
