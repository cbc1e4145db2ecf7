"""The sound of a row, changed: speed, room, noise, volume, telephone. One row, epoch and seed give one sound.

augmented(sound, row_id="part3-0017", task="asr", epoch=2, config=Augment(noise=Noise(0.3)))

For training only: what reads rows for evaluation never comes here.
"""

from __future__ import annotations

import hashlib

import numpy as np

from training.data.augment.config import Augment, Noise, Reverb, Speed, Telephone, Volume
from training.data.augment.effects import Sound, faster, in_room, louder, over_telephone, with_noise
from training.data.schema import LONGEST_SECONDS, SAMPLE_RATE

__all__ = ["Augment", "Noise", "Reverb", "Speed", "Telephone", "Volume", "augmented"]

# Played faster, a voice is also higher: these answers would no longer be true.
KEEP_SPEED = frozenset({"rate", "gender", "accent"})
LONGEST_SAMPLES = round(LONGEST_SECONDS * SAMPLE_RATE)


def augmented(sound: Sound, *, row_id: str, task: str, epoch: int, config: Augment) -> Sound:
    """A changed copy of `sound`, float32 (samples,) at 16 kHz, never longer than 30 s, within full scale."""
    # Each effect throws dice of its own: another probability for one leaves the others as they were.
    speed, reverb, noise, volume, telephone = _dice(config.seed, row_id, epoch)
    if speed.random() < config.speed.probability and task not in KEEP_SPEED:
        factor = float(speed.choice(config.speed.factors))
        if sound.size / factor <= LONGEST_SAMPLES:
            sound = faster(sound, factor)[:LONGEST_SAMPLES]
    if reverb.random() < config.reverb.probability:
        rt60, direct = _from(reverb, config.reverb.rt60_s), _from(reverb, config.reverb.direct_db)
        sound = in_room(sound, rt60, direct, reverb)
    if noise.random() < config.noise.probability:
        snr, slope = _from(noise, config.noise.snr_db), _from(noise, config.noise.slope)
        sound = with_noise(sound, snr, slope, noise)
    if volume.random() < config.volume.probability:
        sound = louder(sound, _from(volume, config.volume.gain_db))
    if telephone.random() < config.telephone.probability:
        sound = over_telephone(sound)
    limited: Sound = np.clip(sound, -1, 1)
    return limited


def _from(chance: np.random.Generator, bounds: tuple[float, ...]) -> float:
    return float(chance.uniform(bounds[0], bounds[1]))


def _dice(seed: int, row_id: str, epoch: int) -> list[np.random.Generator]:
    digest = hashlib.blake2b(f"{seed}/{epoch}/{row_id}".encode(), digest_size=16).digest()
    return [np.random.default_rng([*digest, effect]) for effect in range(5)]
