"""A mixture's YAML: which corpora, how much of each, and how their sound is changed.

sources:
- {corpus: corpora/mnsc, tasks: [asr], weight: 0.6}
- {corpus: corpora/mnsc, tasks: [sqa, sds], weight: 0.4}
augment: {noise: {probability: 0.3}}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from training.config import load
from training.data.augment import Augment
from training.data.schema import SPLITS, TASKS


@dataclass(frozen=True)
class Source:
    """The rows of one split of a built corpus, of some tasks or all."""

    corpus: Path
    split: str = "train"
    tasks: tuple[str, ...] = ()  # none named: all of them
    weight: float | None = None  # None: as many as there are rows

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"there is no split {self.split!r}; a corpus has {', '.join(SPLITS)}")
        for task in self.tasks:
            if task not in TASKS:
                raise ValueError(f"there is no task {task!r}; choose from {', '.join(TASKS)}")
        if self.weight is not None and not 0 < self.weight < float("inf"):
            raise ValueError(f"a weight of {self.weight} draws nothing; give more than 0 or drop the source")

    @property
    def title(self) -> str:
        """The source in a few words."""
        return f"{self.corpus}/{self.split}" + (f" ({', '.join(self.tasks)})" if self.tasks else "")


@dataclass(frozen=True)
class Mixture:
    """Sources with weights; shares are weights to the power of 1 / temperature, made to sum to 1."""

    sources: tuple[Source, ...]
    temperature: float = 1.0  # above 1 small sources get more than their weight
    seed: int = 0
    shuffle_groups: int = 4  # row groups whose rows a stream mixes; each costs memory in every worker
    cache_mb: int = 1024  # row groups that one worker keeps in memory
    augment: Augment | None = None

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("a mixture needs at least one source")
        if len({source.weight is None for source in self.sources}) > 1:
            raise ValueError("give every source a weight, or none: then their rows count")
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"the temperature is {self.temperature}; it must be above 0")
        if self.shuffle_groups < 1 or self.cache_mb < 1:
            raise ValueError("shuffle_groups and cache_mb must be at least 1")

    @classmethod
    def load(cls, path: Path, overrides: Sequence[str] = ()) -> Self:
        """Read a mixture's YAML. Raises ConfigError."""
        return load(cls, path, overrides)

    def shares(self, rows: Sequence[int]) -> tuple[float, ...]:
        """Each source's share of the draws, given the rows that each has."""
        weights = [
            count if source.weight is None else source.weight
            for source, count in zip(self.sources, rows, strict=True)
        ]
        largest = max(weights)
        heated = [(weight / largest) ** (1 / self.temperature) for weight in weights]
        return tuple(weight / sum(heated) for weight in heated)
