r"""MMAU's string match: an answer is right if it names what is right and nothing that is wrong alone.

Source: MMAU's `evaluation.py`, as AudioBench calls it. Words are runs of \w, in lower case, as sets: order
and repeats do not count. The first four characters ("(A) ") are cut off the answer and the choices, and not
off the prediction, so that a prediction "(A) Man" has the word "a" too.

Function words of wrong choices count: with the answer "Piano" and the choice "A guitar", "It is a piano" is
wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_LETTER = len("(A) ")
_WORD = re.compile(r"\w+")


def is_right(answer: str, choices: Sequence[str], prediction: str) -> bool:
    """Whether all words of the answer, and none that belongs to other choices alone, stand in the prediction.

    A prediction without words is wrong. So is any prediction where `names_something` is False: by the rule
    alone, an answer without words would make nearly all of them right.
    """
    said, right = words(prediction), words(answer[_LETTER:])
    wrong = set[str]().union(*(words(choice[_LETTER:]) for choice in choices)) - right
    return bool(said and right) and right <= said and said.isdisjoint(wrong)


def names_something(answer: str) -> bool:
    """Whether words are left of the answer once "(A) " is cut off."""
    return bool(words(answer[_LETTER:]))


def words(text: str) -> set[str]:
    """The words of a text, in lower case."""
    return set(_WORD.findall(text.lower()))
