"""One clip: what is said, by whom, and its sound. The same seed, split and number give the same clip."""

# ruff: noqa: S311 - no secrets are drawn

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from training.data.augment import augmented
from training.data.augment.effects import coloured_noise
from training.data.schema import LONGEST_SECONDS, SAMPLE_RATE
from training.data.synthesise.cast import AnyVoice, Cast
from training.data.synthesise.config import Synthesis
from training.data.synthesise.corpus import plain
from training.data.synthesise.engines.all import Engines
from training.data.synthesise.reading.pool import NOTHING, Avoided, Pool
from training.data.synthesise.tasks import Asked, asked, asked_of_silence
from training.data.synthesise.texts.draw import READING, Text, drawn
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
    speakers: tuple[AnyVoice, ...]  # in order of first words; empty where nothing is said
    words: str


@dataclass(frozen=True)
class Stage:
    """What the clips of a split are made with."""

    cast: Cast  # of its first clips
    later: dict[int, Cast]  # and of those from a number on
    pool: Pool | None  # where some are readings
    avoided: Avoided

    @classmethod
    def of(cls, config: Synthesis, split: str) -> Stage:
        """Raises DataError where texts, or what `avoid` names, are missing."""
        avoided = Avoided.in_corpus(config.avoid) if config.avoid else NOTHING
        pool = Pool(config.reading, split, avoided) if config.kinds.get(READING) else None
        later = {first: Cast.of(config, split, first) for first in sorted(config.late.values())}
        return cls(Cast.of(config, split), later, pool, avoided)

    def cast_of(self, number: int) -> Cast:
        """Who may speak in a clip."""
        return next((cast for first, cast in reversed(self.later.items()) if first <= number), self.cast)


def made(config: Synthesis, split: str, number: int, stage: Stage, engines: Engines | None) -> Clip:
    """Clip `number` of a split. Without `engines` its words only, and one sample of sound."""
    id = f"{config.source}-{split}-{number:07}"
    chance = Random(f"{config.seed}/{split}/{number}")
    if chance.random() < config.silent:
        pcm = _augmented(_silence(chance), id, split, config)
        return Clip(id, pcm, tuple(asked_of_silence(chance)), (), "")
    cast = stage.cast_of(number)
    for _ in range(ATTEMPTS):
        text = _drawn(config, split, stage, chance)
        speakers = cast.chosen(text.speakers, chance)
        if engines is None:
            return Clip(id, np.zeros(1, np.int16), (), tuple(speakers.values()), text.words)
        sound = _spoken(text, speakers, chance.uniform(*config.speed), engines, chance)
        if 0 < sound.size <= (LONGEST_SECONDS - 2 * EDGE[1]) * SAMPLE_RATE:
            first = speakers["A"]
            gender = config.tasks.get("gender", 0.0) * cast.asks_sex(first.sex)
            rows = asked(text, first, sound.size / SAMPLE_RATE, config.tasks | {"gender": gender}, chance)
            pcm = _augmented(_recorded(sound, chance), id, split, config)
            return Clip(id, pcm, tuple(rows), tuple(speakers.values()), text.words)
    raise DataError(
        f"{ATTEMPTS} texts for clip {id} took longer than {LONGEST_SECONDS:g} s, one after another. Lower "
        "`longest_words`, or raise the slowest `speed`."
    )


def _drawn(config: Synthesis, split: str, stage: Stage, chance: Random) -> Text:
    """A text that no test has."""
    while True:
        text = drawn(split, chance, config.kinds, config.longest_words, stage.pool)
        said = [text.words, *re.split(r"(?<=[.?!])\s+", text.words)]
        if not any(stage.avoided.holds(plain(part)) for part in said):
            return text


def _augmented(pcm: Pcm, id: str, split: str, config: Synthesis) -> Pcm:
    if split != "train" or config.augment is None:
        return pcm
    # As for the task "rate": questions about how fast and how high somebody speaks keep their answers.
    sound = pcm.astype(np.float32) / np.float32(32767)
    return _pcm(augmented(sound, row_id=id, task="rate", epoch=0, config=config.augment))


def _spoken(
    text: Text, speakers: Mapping[str, AnyVoice], speed: float, engines: Engines, chance: Random
) -> NDArray[np.float32]:
    """All turns one after another, each as loud as the others: float32 (samples,) at 16 kHz."""
    parts: list[NDArray[np.float32]] = []
    for speaker, words in text.turns:
        if parts:
            parts.append(np.zeros(round(chance.uniform(*BETWEEN_TURNS) * SAMPLE_RATE), np.float32))
        sound = engines.spoken(words, speakers[speaker], speed)
        parts.append(sound / max(_rms(sound), 1e-6))
    return np.concatenate(parts)


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
