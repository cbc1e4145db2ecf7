"""All that may be read aloud in a split: some sentences that follow each other, out of one source."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from random import Random

from training.data.schema import read_index
from training.data.synthesise.corpus import plain
from training.data.synthesise.reading.sentences import sentences
from training.data.synthesise.reading.sources import SOURCES
from training.data.synthesise.texts.draw import split_of

SHINGLE = 6  # words: what shares so many in a row with a test is left out
LONE = 0.55  # of readings are one sentence


@dataclass(frozen=True)
class Avoided:
    """Transcripts of tests, which no training clip may say."""

    whole: frozenset[str]
    shingles: frozenset[str]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Avoided:
        """`texts` without case and punctuation."""
        known = set(texts)
        return cls(frozenset(known), frozenset(part for text in known for part in _shingles(text)))

    @classmethod
    def in_corpus(cls, corpus: Path) -> Avoided:
        """All that is said in a corpus. Raises DataError where there is none."""
        return cls.of(read_index(corpus)["text"].to_pylist())

    def holds(self, said: str) -> bool:
        """Is `said`, without case and punctuation, one of the texts, or does it share a run of words?"""
        return said in self.whole or any(part in self.shingles for part in _shingles(said))


NOTHING = Avoided(frozenset(), frozenset())


class Pool:
    """The sentences of some sources, each for one split only."""

    def __init__(self, weights: Mapping[str, float], split: str, avoided: Avoided) -> None:
        """`weights` of sources by name. Raises DataError where a package is missing."""
        self._names = [name for name, weight in weights.items() if weight]
        self._weights = [weights[name] for name in self._names]
        self._runs = {name: list(_runs(name, split, avoided)) for name in self._names}
        self._ends = {name: list(accumulate(map(len, runs))) for name, runs in self._runs.items()}

    @property
    def sizes(self) -> dict[str, int]:
        """How many sentences each source has."""
        return {name: sum(map(len, runs)) for name, runs in self._runs.items()}

    def drawn(self, chance: Random, longest: int) -> tuple[str, str]:
        """A source's name and some sentences of it that follow each other, at most `longest` words."""
        name = chance.choices(self._names, self._weights)[0]
        ends = self._ends[name]
        found = chance.randrange(ends[-1])
        number = bisect_right(ends, found)
        run = self._runs[name][number]
        at = found - ends[number] + len(run)
        wanted = 0 if chance.random() < LONE else chance.randint(12, longest)
        chosen = [run[at]]
        length = len(run[at].split())
        for sentence in run[at + 1 :]:
            length += len(sentence.split())
            if length > wanted:
                break
            chosen.append(sentence)
        return name, " ".join(chosen)


def _runs(name: str, split: str, avoided: Avoided) -> Iterable[tuple[str, ...]]:
    """Sentences in a row that may be said in `split`."""
    for paragraph in _paragraphs(name):
        run: list[str] = []
        for sentence in (*paragraph, ""):
            if sentence and split_of(sentence) == split and not avoided.holds(plain(sentence)):
                run.append(sentence)
            elif run:
                yield tuple(run)
                run = []


@cache
def _paragraphs(name: str) -> list[tuple[str, ...]]:
    return [tuple(sentences(paragraph)) for paragraph in SOURCES[name].paragraphs()]


def _shingles(said: str) -> Iterable[str]:
    words = said.split()
    return (" ".join(words[at : at + SHINGLE]) for at in range(len(words) - SHINGLE + 1))
