"""Where transcripts of one clip agree, word by word, and how far one is from what was really said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ui.picker.spelling import Word, words

MAX_WORDS = 2_000  # of a transcript; two tables of this many squared are 32 MB for a moment
GAP = -1
STEP = 3  # what a word costs that is missing or added
# What a word put wrongly costs: to count errors, as much; to line words up, more, as in NIST's sclite,
# so that words come to stand beside their like.
COUNTED, LINED_UP = 3, 4

Kind = Literal["same", "differs", "gap"]
Codes = npt.NDArray[np.int32]
Step = tuple[int, int]  # places in two sequences; GAP where one has nothing to show


@dataclass(frozen=True)
class WordErrors:
    """How far a transcript is from the truth: words put wrongly, left out and added."""

    words: int  # of the truth
    wrong: int
    missing: int
    added: int

    @property
    def total(self) -> int:
        """All errors."""
        return self.wrong + self.missing + self.added

    @property
    def rate(self) -> float:
        """The word error rate: errors to a word of the truth; above 1 where more was added than was said."""
        return self.total / self.words if self.words else float(self.total > 0)


@dataclass(frozen=True)
class Piece:
    """A stretch of a transcript on which all agree or do not; a gap stands where others have words."""

    kind: Kind
    text: str = ""


@dataclass(frozen=True)
class Agreement:
    """Each transcript in pieces; on `agreed` of `places` all say the same."""

    transcripts: tuple[tuple[Piece, ...], ...]
    agreed: int
    places: int


def word_errors(truth: str, said: str) -> WordErrors | None:
    """Count the errors of a transcript; None where either is too long to tell."""
    one, other = words(truth), words(said)
    if max(len(one), len(other)) > MAX_WORDS:
        return None
    codes = _codes([one, other])
    steps = _align(codes[0][:, None], codes[1], COUNTED)
    return WordErrors(
        words=len(one),
        wrong=sum(GAP not in step and bool(codes[0][step[0]] != codes[1][step[1]]) for step in steps),
        missing=sum(step[1] == GAP for step in steps),
        added=sum(step[0] == GAP for step in steps),
    )


def agreement(texts: Sequence[str]) -> Agreement | None:
    """Lay transcripts beside one another; None where one is too long or there are fewer than two."""
    spoken = [words(text) for text in texts]
    if len(spoken) < 2 or max(map(len, spoken)) > MAX_WORDS:
        return None
    codes = _codes(spoken)
    table = _table(codes)  # (places, transcripts): indexes of words
    seen = np.stack([_taken(codes[number], table[:, number]) for number in range(len(codes))], axis=1)
    same = (seen == seen[:, :1]).all(axis=1)
    transcripts = tuple(
        _pieces(text, spoken[number], table[:, number], same) for number, text in enumerate(texts)
    )
    return Agreement(transcripts, int(same.sum()), len(table))


def _codes(spoken: Sequence[Sequence[Word]]) -> list[Codes]:
    """Give each form of a word a number."""
    known: dict[str, int] = {}
    return [
        np.array([known.setdefault(word.form, len(known)) for word in one], dtype=np.int32) for one in spoken
    ]


def _taken(codes: Codes, places: Codes) -> Codes:
    """Return the word at each place, or GAP."""
    found = np.full(len(places), GAP, dtype=np.int32)
    found[places != GAP] = codes[places[places != GAP]]
    return found


def _table(codes: Sequence[Codes]) -> Codes:
    """Align each transcript with the places that those before it made, as ROVER does (Fiscus, 1997)."""
    table = np.arange(len(codes[0]), dtype=np.int32)[:, None]
    for number in range(1, len(codes)):
        seen = np.stack([_taken(codes[one], table[:, one]) for one in range(number)], axis=1)
        steps = _align(seen, codes[number], LINED_UP)
        nothing = [GAP] * number
        rows = [[*(table[place] if place != GAP else nothing), word] for place, word in steps]
        table = np.array(rows, dtype=np.int32).reshape(-1, number + 1)
    return table


def _align(places: Codes, said: Codes, wrong: int) -> list[Step]:
    """Return the cheapest way from places, shape (n, transcripts), to words, shape (m,).

    A word fits a place where any transcript has it there. One that does not costs `wrong`, and one that is
    missing or added STEP.
    """
    n, m = len(places), len(said)
    cost = np.empty((n + 1, m + 1), dtype=np.int32)
    columns = np.arange(m + 1, dtype=np.int32) * STEP
    cost[0] = columns
    differs = np.zeros((n, m), dtype=np.int32)
    for i in range(n):
        differs[i] = (places[i][:, None] != said).all(axis=0) * wrong
        row = cost[i] + STEP
        row[1:] = np.minimum(row[1:], cost[i, :-1] + differs[i])
        # Added words cost a step each, from the best place to begin: a running minimum over the row.
        cost[i + 1] = np.minimum.accumulate(row - columns) + columns
    steps: list[Step] = []
    i, j = n, m
    while i or j:
        if i and j and cost[i, j] == cost[i - 1, j - 1] + differs[i - 1, j - 1]:
            i, j = i - 1, j - 1
            steps.append((i, j))
        elif i and cost[i, j] == cost[i - 1, j] + STEP:
            i -= 1
            steps.append((i, GAP))
        else:
            j -= 1
            steps.append((GAP, j))
    return steps[::-1]


def _pieces(
    text: str, spoken: Sequence[Word], places: Codes, same: npt.NDArray[np.bool_]
) -> tuple[Piece, ...]:
    """Cut a transcript into what all agree on and what not; neighbours of a kind are one piece."""
    marks: list[tuple[Kind, int, int]] = []  # what is not the same, and where it stands
    at, whole = 0, True  # the end of the last word, and whether all agreed on it
    for place, agreed in zip(places, same, strict=True):
        word = spoken[place] if place != GAP else None
        if not agreed:
            kind: Kind = "gap" if word is None else "differs"
            start, end = (at, at) if word is None else (word.start, word.end)
            if whole or not marks:
                marks.append((kind, start, end))
            else:
                before, first, last = marks[-1]
                joined: Kind = "differs" if "differs" in (before, kind) else "gap"
                begins = start if before == "gap" and kind == "differs" else first
                marks[-1] = (joined, begins, max(last, end))
        whole = bool(agreed)
        at = word.end if word else at
    pieces: list[Piece] = []
    done = 0
    for kind, start, end in marks:
        start = max(start, done)  # "$18" is two words in one place
        pieces += [Piece("same", text[done:start])] if text[done:start] else []
        pieces.append(Piece(kind, text[start:end]))
        done = max(done, end)
    return (*pieces, Piece("same", text[done:])) if text[done:] else tuple(pieces)
