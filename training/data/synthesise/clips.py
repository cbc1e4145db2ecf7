"""One clip: what is said, by whom, and its sound. The same seed, split and number give the same clip."""

# ruff: noqa: S311 - no secrets are drawn

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import soxr
from numpy.typing import NDArray

from model.embedded.speech import SAMPLE_RATE as SPOKEN_RATE
from model.embedded.speech import Speech
from training.data.augment import augmented
from training.data.augment.effects import coloured_noise
from training.data.schema import LONGEST_SECONDS, SAMPLE_RATE
from training.data.synthesise.config import Synthesis
from training.data.synthesise.tasks import Asked, asked, asked_of_silence
from training.data.synthesise.texts.draw import Text, drawn
from training.data.synthesise.voices import Voice
from training.errors import DataError

LOUDNESS = (-29.0, -17.0)  # dBFS, root mean square
PEAK = 0.95  # of full scale
EDGE = (0.1, 0.6)  # s of quiet before and after
BETWEEN_TURNS = (0.2, 0.7)  # s
FLOOR = -75.0  # dBFS of noise under everything: a real recording is never digital silence
SILENCE = (1.0, 12.0)  # s, of clips in which nothing is said
SILENCE_LOUDNESS = (-70.0, -25.0)  # dBFS
ATTEMPTS = 20

Pcm = NDArray[np.int16]


@dataclass(frozen=True)
class Clip:
    """A finished clip: samples (samples,) at 16 kHz, and the rows about it."""

    id: str
    pcm: Pcm
    rows: tuple[Asked, ...]
    speakers: tuple[Voice, ...]  # in order of first words; empty where nothing is said
    words: str


def made(config: Synthesis, split: str, number: int, voices: Sequence[Voice], speech: Speech | None) -> Clip:
    """Clip `number` of a split. Without `speech` its words only, and one sample of sound."""
    id = f"{config.source}-{split}-{number:07}"
    chance = Random(f"{config.seed}/{split}/{number}")
    if chance.random() < config.silent:
        pcm = _augmented(_silence(chance), id, split, config)
        return Clip(id, pcm, tuple(asked_of_silence(chance)), (), "")
    for _ in range(ATTEMPTS):
        text = drawn(split, chance, config.kinds, config.longest_words)
        speakers = _cast(text, voices, chance)
        if speech is None:
            return Clip(id, np.zeros(1, np.int16), (), tuple(speakers.values()), text.words)
        sound = _spoken(text, speakers, chance.uniform(*config.speed), speech, chance)
        if 0 < sound.size <= (LONGEST_SECONDS - 2 * EDGE[1]) * SAMPLE_RATE:
            rows = asked(text, speakers["A"].sex, sound.size / SAMPLE_RATE, config.tasks, chance)
            pcm = _augmented(_recorded(sound, chance), id, split, config)
            return Clip(id, pcm, tuple(rows), tuple(speakers.values()), text.words)
    raise DataError(
        f"{ATTEMPTS} texts for clip {id} took longer than {LONGEST_SECONDS:g} s, one after another. Lower "
        "`longest_words`, or raise the slowest `speed`."
    )


def _augmented(pcm: Pcm, id: str, split: str, config: Synthesis) -> Pcm:
    if split != "train" or config.augment is None:
        return pcm
    # As for the task "rate": questions about how fast and how high somebody speaks keep their answers.
    sound = pcm.astype(np.float32) / np.float32(32767)
    return _pcm(augmented(sound, row_id=id, task="rate", epoch=0, config=config.augment))


def _cast(text: Text, voices: Sequence[Voice], chance: Random) -> Mapping[str, Voice]:
    """A voice for each speaker, none twice."""
    return dict(zip(text.speakers, chance.sample(voices, len(text.speakers)), strict=True))


def _spoken(
    text: Text, speakers: Mapping[str, Voice], speed: float, speech: Speech, chance: Random
) -> NDArray[np.float32]:
    """All turns one after another, each as loud as the others: float32 (samples,) at 16 kHz."""
    parts: list[NDArray[np.float32]] = []
    for speaker, words in text.turns:
        if parts:
            parts.append(np.zeros(round(chance.uniform(*BETWEEN_TURNS) * SAMPLE_RATE), np.float32))
        sound = _turn(words, speakers[speaker], speed, speech)
        parts.append(sound / max(_rms(sound), 1e-6))
    return np.concatenate(parts)


def _turn(words: str, voice: Voice, speed: float, speech: Speech) -> NDArray[np.float32]:
    # Played back `pitch` times as fast, the voice is higher and as much faster; it speaks slower to make up.
    pieces = list(speech.synthesise(words, voice.name, speed / voice.pitch, voice.accent))
    if not pieces:
        return np.zeros(0, np.float32)
    sound = np.concatenate(pieces).astype(np.float32) / 32768
    played: NDArray[np.float32] = soxr.resample(sound, SPOKEN_RATE * voice.pitch, SAMPLE_RATE)
    return played


def _recorded(sound: NDArray[np.float32], chance: Random) -> Pcm:
    """With quiet around it, at some loudness, over a little noise."""
    before, after = (round(chance.uniform(*EDGE) * SAMPLE_RATE) for _ in range(2))
    sound = np.pad(sound, (before, after))
    level = 10 ** (chance.uniform(*LOUDNESS) / 20) / max(_rms(sound), 1e-6)
    sound = sound * min(level, PEAK / max(float(np.abs(sound).max()), 1e-6))
    noise = coloured_noise(sound.size, 1.0, np.random.default_rng(chance.getrandbits(64)))
    return _pcm(sound + noise * 10 ** (FLOOR / 20))


def _silence(chance: Random) -> Pcm:
    """A room in which nobody speaks: noise, sometimes with a hum or a few knocks."""
    dice = np.random.default_rng(chance.getrandbits(64))
    samples = round(chance.uniform(*SILENCE) * SAMPLE_RATE)
    sound = coloured_noise(samples, chance.uniform(0, 2), dice)
    kind = chance.choice(("noise", "hum", "knocks"))
    if kind == "hum":
        pitch = chance.choice((50, 60, 100, 120, 440))
        sound = sound + 2 * np.sin(2 * np.pi * pitch * np.arange(samples) / SAMPLE_RATE)
    if kind == "knocks":
        knock = dice.standard_normal(1600) * np.exp(-np.arange(1600) / 200)
        for start in dice.integers(0, samples - knock.size, 4):
            sound[start : start + knock.size] += 5 * knock
    level = 10 ** (chance.uniform(*SILENCE_LOUDNESS) / 20)
    return _pcm(np.clip(sound / _rms(sound) * level, -PEAK, PEAK))


def _pcm(sound: NDArray[np.floating]) -> Pcm:
    pcm: Pcm = np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16)
    return pcm


def _rms(sound: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(sound)))) if sound.size else 0.0
