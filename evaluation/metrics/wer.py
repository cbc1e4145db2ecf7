"""Word error rate over a corpus: all edits over all reference words, as AudioBench sums them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jiwer

from evaluation.errors import MetricError
from evaluation.metrics import normaliser

_NOTHING = "empty"  # the word that stands for a text without words


@dataclass(frozen=True)
class WordErrors:
    """Edits from a reference to a hypothesis, in words."""

    edits: int  # substitutions + deletions + insertions
    words: int  # of the reference: hits + substitutions + deletions; never 0
    substitutions: int
    deletions: int
    insertions: int


def errors(reference: str, hypothesis: str, part4: bool = False) -> WordErrors:
    """The fewest edits between two texts, normalised; `part4` by the rules for MNSC part 4.

    Each text without words becomes the word "empty" on its own: two such texts are one hit, and a hypothesis
    that says "empty" matches a reference without words.
    """
    normalise = normaliser.part4 if part4 else normaliser.standard
    found = jiwer.process_words(normalise(reference) or _NOTHING, normalise(hypothesis) or _NOTHING)
    substitutions, deletions, insertions = found.substitutions, found.deletions, found.insertions
    return WordErrors(
        edits=substitutions + deletions + insertions,
        words=found.hits + substitutions + deletions,
        substitutions=substitutions,
        deletions=deletions,
        insertions=insertions,
    )


def corpus(errors: Sequence[WordErrors]) -> float:
    """The rate as a fraction; it may exceed 1. Raises MetricError for none, since 0 is perfect."""
    words = sum(one.words for one in errors)
    if not words:
        raise MetricError("There is no clip to work out a word error rate from. Run some first.")
    return sum(one.edits for one in errors) / words
