"""A clip as the warm-up hears it, each time otherwise: words in parts, states masked.

A word that training said seldom or never is then still heard: as pieces that other words have. Draws come
from the seed, the epoch and the clip, so a resumed run hears what an unbroken one does.
"""

# ruff: noqa: S311 - no secrets are drawn

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from training.audiollm_config import SpecAugmentConfig
from training.ctc import fits
from training.spec_augment import masked_frames


@dataclass(frozen=True)
class VariationConfig:
    """How much a clip varies; by default it does not."""

    word_parts: float = (
        0.0  # of a target's tokens are written as two (as BPE-dropout: Provilkov et al., 2020)
    )
    mask: SpecAugmentConfig | None = None  # of states of 20 ms

    def __post_init__(self) -> None:
        if not 0 <= self.word_parts < 1:
            raise ValueError("word_parts must be at least 0 and below 1.")


class Parts(Protocol):
    """Targets whose tokens can be written as two: see `training.ctc.SpokenWords`."""

    def in_parts(self, target: list[int], share: float, chance: Random) -> list[int]:
        """`target`, some of its tokens as two."""
        ...


@dataclass(frozen=True)
class Varied:
    """A clip's states [kept, d_model] and its target."""

    states: Tensor
    target: list[int]

    def by(self, config: VariationConfig, words: Parts, stack: int, name: str) -> Varied:
        """Another variation for each name. A target that would not fit into the audio tokens stays whole."""
        chance = Random(name)
        target = words.in_parts(self.target, config.word_parts, chance) if config.word_parts else self.target
        if not fits(target, len(self.states) // stack):
            target = self.target
        if config.mask is None:
            return Varied(self.states, target)
        rng = np.random.default_rng(chance.getrandbits(64))
        masked = masked_frames(len(self.states), config.mask, rng, len(self.states))
        return Varied(self.states.masked_fill(torch.from_numpy(masked)[:, None], 0.0), target)
