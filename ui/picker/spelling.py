"""The words of a transcript, each in one form however it was written, and where it stands in the text.

"Twenty-one dollars" and "$21" are the same words to a listener; so they are here. Scripts that are written
without spaces give a word for each character, as is usual when error rates are counted.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

# fmt: off
_UNITS = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]
# fmt: on
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_NUMBERS = {word: number for number, word in enumerate(_UNITS)}
_NUMBERS |= {word: ten for ten, word in zip(range(20, 100, 10), _TENS, strict=True)}
_SIGNS = {"$": "dollars", "€": "euros", "£": "pounds", "%": "percent"}
_SAME = {"dollar": "dollars", "euro": "euros", "pound": "pounds", "ok": "okay", "percentage": "percent"}
_FILLERS = frozenset(("uh", "um", "uhm", "er", "erm", "hmm", "mm"))
_BRITISH = re.compile(r"(?<=\w\w)is(e|ed|es|ing|ation)$")  # "apologise" and "apologize" sound the same
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_APOSTROPHES = "'’‘ʼ"
_IN_NUMBERS = ".,:"


@dataclass(frozen=True)
class Word:
    """A word in its one form; `text[start:end]` is how it was written."""

    form: str
    start: int
    end: int


def words(text: str) -> list[Word]:
    """Return the words of a text in order, without fillers such as "um"."""
    found: list[Word] = []
    for start, end in _spans(text):
        for form in _forms(text[start:end]):
            _add(found, Word(form, start, end), text)
    return [word for word in found if word.form not in _FILLERS]


def _add(found: list[Word], word: Word, text: str) -> None:
    """Add a word; one that belongs to the word before, as in "twenty one" and "per cent", is joined to it."""
    last = found[-1] if found else None
    if last is not None and text[last.end : word.start] in (" ", "-"):
        if _is_ten(text[last.start : last.end]) and word.form in "123456789" and len(word.form) == 1:
            found[-1] = Word(str(int(last.form) + int(word.form)), last.start, word.end)
            return
        if (last.form, word.form) == ("per", "cent"):
            found[-1] = Word("percent", last.start, word.end)
            return
    found.append(word)


def _is_ten(written: str) -> bool:
    return written.casefold() in _TENS


def _forms(written: str) -> Iterator[str]:
    """Yield the form of what stands in one place: "$18" is two words."""
    plain = unicodedata.normalize("NFKC", written).casefold()
    for apostrophe in _APOSTROPHES:
        plain = plain.replace(apostrophe, "'")
    sign = next((_SIGNS[one] for one in plain if one in _SIGNS), "")
    plain = plain.strip("".join(_SIGNS))
    if plain[:1].isdigit():
        plain = plain.replace(",", "")
    number = _NUMBERS.get(plain)
    plain = str(number) if number is not None else _BRITISH.sub(r"iz\1", plain)
    yield _SAME.get(plain, plain)
    if sign:
        yield sign


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each word stands, in one pass."""
    at, length = 0, len(text)
    while at < length:
        if not _begins(text, at):
            at += 1
            continue
        start = at
        at += 1
        if _UNSPACED.match(text[start]):
            while at < length and unicodedata.category(text[at])[0] == "M":
                at += 1
        else:
            while at < length and _goes_on(text, at):
                at += 1
            if text[at : at + 1] == "%" and text[at - 1].isdigit():
                at += 1
        yield start, at


def _begins(text: str, at: int) -> bool:
    return text[at].isalnum() or (text[at] in "$€£" and text[at + 1 : at + 2].isdigit())


def _goes_on(text: str, at: int) -> bool:
    letter = text[at]
    if letter.isalnum() or unicodedata.category(letter)[0] == "M":
        return not _UNSPACED.match(letter)
    before, after = text[at - 1], text[at + 1 : at + 2]
    if letter in _APOSTROPHES:
        return before.isalpha() and after.isalpha()
    return letter in _IN_NUMBERS and before.isdigit() and after.isdigit()
