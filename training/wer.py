"""Word error rate as Whisper's authors count it: their English normaliser, then the fewest edits.

The normaliser throws away what stands in brackets, which is where the National Speech Corpus writes its
discourse particles ("can [lah]"): they are words here, as they are said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

Normaliser = Callable[[str], str]

PARTICLE = re.compile(r"\[([^\W\d_]+)\]|!([^\W\d_]+)!")  # [lah] and !wah! in NSC's scripts


@dataclass(frozen=True)
class WordErrors:
    """Edits from what was said to what was written, over the words that were said."""

    edits: int
    words: int

    @property
    def rate(self) -> float:
        """Edits a word: 0 is perfect; it may exceed 1."""
        return self.edits / self.words if self.words else float(self.edits > 0)

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(self.edits + other.edits, self.words + other.words)


def normaliser(spellings: Mapping[str, str] | None = None) -> Normaliser:
    """Whisper's normaliser; `spellings`, British to American, come with a released tokenizer."""
    plain = EnglishTextNormalizer(dict(spellings or {}))

    def normalised(text: str) -> str:
        return str(plain(PARTICLE.sub(r"\1\2", text)))

    return normalised


def word_errors(pairs: Iterable[tuple[str, str]], normalised: Normaliser) -> WordErrors:
    """Errors summed over pairs of what was said and what was written."""
    total = WordErrors(0, 0)
    for said, written in pairs:
        expected, found = normalised(said).split(), normalised(written).split()
        total += WordErrors(edits(expected, found), len(expected))
    return total


def edits(expected: list[str], found: list[str]) -> int:
    """The fewest insertions, deletions and substitutions from one to the other."""
    row = list(range(len(found) + 1))
    for i, word in enumerate(expected, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(found, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]
