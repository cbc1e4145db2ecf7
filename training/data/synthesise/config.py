"""What `python -m training.data.synthesise` reads from its YAML."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from training.data.augment import Augment
from training.data.schema import TASKS
from training.data.synthesise.others import ENGINES
from training.data.synthesise.reading.sources import SOURCES
from training.data.synthesise.texts.draw import KINDS, READING


def _kinds() -> dict[str, float]:
    return {
        "statement": 0.28,
        "passage": 0.22,
        "story": 0.2,
        "phrase": 0.06,
        "dialogue": 0.1,
        "request": 0.04,
        "sounds": 0.1,
    }


def _tasks() -> dict[str, float]:
    return {
        "asr": 1.0,
        "translation": 1.0,
        "sqa": 0.7,
        "sds": 0.7,
        "summary": 0.5,
        "gender": 0.1,
        "instruction": 1.0,
        "speakers": 0.1,
        "rate": 0.1,
        "speech": 0.03,
    }


@dataclass(frozen=True)
class Clips:
    """How many clips a split has."""

    train: int
    dev: int
    test: int

    def __post_init__(self) -> None:
        if min(self.train, self.dev, self.test) < 0 or not self.train + self.dev + self.test:
            raise ValueError("give how many clips to make, such as train: 1000")


@dataclass(frozen=True)
class Synthesis:
    """A corpus of synthetic speech to make."""

    out: Path
    clips: Clips
    seed: int = 0
    source: str = "synthetic"  # what rows call it
    voices: int = 160  # speakers of the training clips; dev and test have four each that train never hears
    speed: tuple[float, ...] = (0.75, 1.4)
    longest_words: int = 60
    silent: float = 0.02  # share of clips in which nothing is said
    kinds: dict[str, float] = field(default_factory=_kinds)  # of texts: weights
    reading: dict[str, float] = field(default_factory=dict)  # of the sources of the kind "reading": weights
    avoid: Path | None = None  # a corpus of which no sentence may be said
    engines: dict[str, float] = field(default_factory=lambda: {"kokoro": 1.0})  # of training clips: weights
    # Engines that speak a tenth as often before the training clip of that number: what is slow comes last.
    late: dict[str, int] = field(default_factory=dict)
    max_pitch: float = 1.0  # of training voices not of Kokoro: played at most so many times as fast or slow
    tasks: dict[str, float] = field(default_factory=_tasks)  # the share of clips that could have such a row
    augment: Augment | None = None  # of the training clips; those of dev and test stay clean
    shard_clips: int = 128  # what is lost at most when the work is killed
    processes: int | None = None  # none: as many as there are cores

    def __post_init__(self) -> None:
        _check_weights("kinds", self.kinds, KINDS)
        _check_weights("engines", self.engines, ENGINES)
        if unknown := [engine for engine in self.late if engine not in self.engines]:
            raise ValueError(f"late.{unknown[0]}: it is not among `engines`")
        if self.kinds.get(READING):
            _check_weights("reading", self.reading, tuple(SOURCES))
        for task, share in self.tasks.items():
            if task not in TASKS or not 0 <= share <= 1:
                raise ValueError(f"tasks.{task}: give shares from 0 to 1 to {', '.join(TASKS)}")
        if len(self.speed) != 2 or not 0.5 <= self.speed[0] <= self.speed[1] <= 2:
            raise ValueError("speed: give the slowest and the fastest, from 0.5 to 2")
        if not 1 <= self.max_pitch <= 1.5:
            raise ValueError("max_pitch must be from 1 to 1.5")
        if not 0 <= self.silent <= 1 or self.longest_words < 12 or self.voices < 2 or self.shard_clips < 1:
            raise ValueError("need 0 <= silent <= 1, longest_words >= 12, voices >= 2 and shard_clips >= 1")
        if self.processes is not None and self.processes < 1:
            raise ValueError("processes must be at least 1; leave it out for one a core")


def _check_weights(name: str, weights: dict[str, float], known: tuple[str, ...]) -> None:
    for key, weight in weights.items():
        if key not in known or weight < 0:
            raise ValueError(f"{name}.{key}: give weights of 0 and more to {', '.join(known)}")
    if not any(weights.values()):
        raise ValueError(f"{name}: give at least one of them a weight above 0")
