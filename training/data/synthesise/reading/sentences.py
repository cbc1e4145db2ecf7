"""Sentences of written texts as a person reads them aloud: no markup, figures, initials or unknown words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from model.embedded.lexicon import LEXICONS, LexiconFile
from model.embedded.weights import locate
from training.data.synthesise.texts.lists import NOT_SAID

WORDS = (2, 45)  # in a sentence
TITLES = re.compile(r"\b(Mr|Mrs|Ms|Dr|St|Messrs)\.")
END = re.compile(r"(?<=[.?!])['\"”’)]* +(?=[\"'`“‘(_]*[A-Z])")
MARKS = (
    (re.compile(r"[“”\"]|``|''|`|\*"), " "),
    (re.compile(r"[’‘]"), "'"),
    (re.compile(r"_"), ""),
    (re.compile(r"\s*(?:--+|—|–| - )\s*"), ", "),
    (re.compile(r"(?<![A-Za-z])'|'(?![A-Za-z])"), ""),  # quotation marks, not apostrophes
    (re.compile(r"\s+(?=[,.;:?!])"), ""),
    (re.compile(r"[,;:]+(?=[.?!])"), ""),
    (re.compile(r"[,;:](?=[,;:])|([.?!])(?=[.?!])"), ""),
    (re.compile(r"([,;:.?!])(?=[A-Za-z])"), r"\1 "),
    (re.compile(r"\s+"), " "),
)
SAID = re.compile(r"[A-Z][A-Za-z ,.;:?!'-]*[.?!]")
WORD = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+)*")
SHOUTED = re.compile(r"\b[A-Z]{2,}\b|(?<!')\b[B-HJ-NP-Zb-hj-np-z]\b(?!')")
INSIDE = re.compile(r"[.?!](?! |$)|[.] [a-z]")
CONTRACTIONS = re.compile(r"(?:n't|'(?:s|d|ll|ve|re|m|t))$")
ENDINGS = re.compile(r"(?:s|es|d|ed|ing|er|ly|ness)$")


def sentences(paragraph: str) -> Iterator[str]:
    """The sentences of a paragraph in order; an empty one for each that cannot be read aloud as it is."""
    for sentence in END.split(TITLES.sub(r"\1", paragraph)):
        yield _spoken(sentence)


def _spoken(sentence: str) -> str:
    for mark, instead in MARKS:
        sentence = mark.sub(instead, sentence)
    sentence = sentence.strip(" ,;:-")
    if sentence and sentence[-1] not in ".?!":
        sentence += "."
    if not SAID.fullmatch(sentence) or SHOUTED.search(sentence) or INSIDE.search(sentence):
        return ""
    words = WORD.findall(sentence)
    if not WORDS[0] <= len(words) <= WORDS[1] or NOT_SAID.search(sentence.lower()):
        return ""
    # A name that no lexicon has is guessed well enough; a sentence of them is not.
    unknown = [word for word in words if not _is_known(word.lower())]
    return "" if len(unknown) > 1 or any(word.islower() for word in unknown) else sentence


@cache
def _is_known(word: str) -> bool:
    """Is its sound in a lexicon, perhaps without its ending?"""
    whole = CONTRACTIONS.sub("", word)
    stem = ENDINGS.sub("", whole)
    doubled = stem[:-1] if stem[-2:-1] == stem[-1:] else stem
    forms = {word, whole, whole.capitalize(), stem, f"{stem}e", doubled, re.sub("ie?$", "y", stem)}
    return any(file.get(form) for file in _lexicons() for form in forms if form)


@cache
def _lexicons() -> tuple[LexiconFile, ...]:
    return tuple(LexiconFile(locate(asset)) for assets in LEXICONS.values() for asset in assets)
