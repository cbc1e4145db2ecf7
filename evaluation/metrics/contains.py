"""Ours, for known answers and no judge: an accepted phrase stands in the answer, and no rejected one.

Phrases and answer are folded alike, more widely than for a WER: case, marks, contractions and British
spelling do not count, and numbers are the same as words or digits ("three fifteen", "3:15" and "315"; "nine
dollars" and "$9").
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby

from evaluation.metrics.normaliser import DIGIT_WORDS, whisper

_DIGITS = {word: digits for digits, word in DIGIT_WORDS.items()}
# Whisper deletes what stands in brackets, and leaves a curly apostrophe as it is.
_READ_AS = str.maketrans({**dict.fromkeys("()[]{}<>", " "), "’": "'", "‘": "'"})
_STOP = re.compile(r"[,;:.!?]+(?:\s+|$)|\n+")
_TOKEN = re.compile(
    r"""\d+\.\d+ | \d+(?:st|nd|rd|th|s)\b | \d+ | [$€£¢%]   # numbers; their signs by themselves
    | [\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]             # Chinese and Japanese, a word a character
    | [^\W\d_\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+""",
    re.VERBOSE,
)


def is_right(accepted: Sequence[str], rejected: Sequence[str], answer: str) -> bool:
    """Whether some accepted phrase, and no rejected one, stands in the answer as whole words in a row.

    A number is one word: "5" does not stand in "56". A phrase of marks alone stands nowhere.
    """
    said = fold(answer)
    return any(_stands_in(fold(one), said) for one in accepted) and not any(
        _stands_in(fold(one), said) for one in rejected
    )


def fold(text: str) -> list[str]:
    """The words that are compared. Numbers merge up to the next stop: "2, 3" are two, "3:15" is one."""
    parts = _STOP.split(unicodedata.normalize("NFKC", text).translate(_READ_AS))
    return [word for part in parts for word in _joined(_TOKEN.findall(whisper(part)))]


def _joined(words: list[str]) -> Iterator[str]:
    """Whole numbers in a row as one, as they are said: "3 15" is "three fifteen" is 315."""
    digits = (_DIGITS.get(word, word) for word in words)
    for is_number, group in groupby(digits, key=str.isdecimal):
        members = list(group)
        yield from ["".join(members)] if is_number else members


def _stands_in(phrase: list[str], said: list[str]) -> bool:
    width = len(phrase)
    return bool(phrase) and any(said[at : at + width] == phrase for at in range(len(said) - width + 1))
