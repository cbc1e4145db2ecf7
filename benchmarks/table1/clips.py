"""Clips that no cache has seen: real speech, cut, joined and mixed by lot into exactly so many seconds."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from model.audio import SAMPLE_RATE, Pcm, decode, wav_bytes

SAMPLES = Path(__file__).parents[2] / "samples/clips"
CUT_SECONDS = (2.0, 8.0)  # of one stretch of speech before another follows
LOUDNESS = (0.6, 0.9)  # of the voice in front
BEHIND = 0.05  # of the voice behind it: 24 dB and more below, heard but never read


class Clips:
    """Speech from `samples/`; the same seed and lot give the same clip, on every machine."""

    def __init__(self, seed: int) -> None:
        """`seed` of a whole run, 0 and up."""
        self.seed = seed

    def pcm(self, seconds: float, *lot: int) -> Pcm:
        """Exactly `seconds` of 16 kHz mono, int16 (samples,); every lot is another clip."""
        wanted = round(seconds * SAMPLE_RATE)
        dice = np.random.default_rng((self.seed, wanted, *lot))
        front = self._stretch(dice, wanted) * dice.uniform(*LOUDNESS)
        behind = self._stretch(dice, wanted) * BEHIND
        return np.clip(front + behind, -32_768, 32_767).astype(np.int16)

    def wav(self, seconds: float, *lot: int) -> bytes:
        """The clip as a WAV file."""
        return wav_bytes(self.pcm(seconds, *lot))

    def _stretch(self, dice: np.random.Generator, wanted: int) -> Pcm:
        """Cuts of chance length from chance places, joined; int16 (wanted,)."""
        speech, cuts, have = _speech(), [], 0
        while have < wanted:
            length = min(int(dice.uniform(*CUT_SECONDS) * SAMPLE_RATE), wanted - have)
            start = int(dice.integers(speech.size - length))
            cuts.append(speech[start : start + length])
            have += length
        return np.concatenate(cuts)


@cache
def _speech() -> Pcm:
    """All samples one after another, int16 (samples,)."""
    return np.concatenate([decode(file.read_bytes()) for file in sorted(SAMPLES.glob("*.mp3"))])
