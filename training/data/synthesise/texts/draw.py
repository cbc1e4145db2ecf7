"""One text to be spoken: a sentence, a passage of several, a dialogue, a request, words without sense,
or what others wrote.

text = drawn("train", Random("0/train/17"), kinds={"statement": 3, "dialogue": 1}, longest=60)

A sentence belongs to one split for ever, by its hash, so that no test sentence is ever trained on.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Protocol

from training.data.synthesise.texts.templates import Filled, filled

PASSAGE = ("statement", "story")  # what a passage is made of
SENTENCES = (2, 6)  # of a passage
BUCKETS = 100
HELD_OUT = {98: "dev", 99: "test"}  # buckets of 100
READING = "reading"  # the kind of text that is not made of templates
KINDS = ("statement", "passage", "story", "phrase", "dialogue", "request", "sounds", "telephone", READING)


class Readings(Protocol):
    """Texts by others: see `training.data.synthesise.reading`."""

    def drawn(self, chance: Random, longest: int) -> tuple[str, str]:
        """A source's name and some sentences of it, at most `longest` words."""
        ...


@dataclass(frozen=True)
class Text:
    """What one clip says. `turns`: (speaker's letter, words); the rest is known by construction."""

    kind: str
    turns: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...] = ()
    gist: str = ""
    malay: str = ""
    chinese: str = ""
    answer: str = ""

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers' letters in order of their first words."""
        return tuple(dict.fromkeys(speaker for speaker, _ in self.turns))

    @property
    def words(self) -> str:
        """All that is said, without who says it."""
        return " ".join(words for _, words in self.turns)

    @property
    def transcript(self) -> str:
        """What is said; between several speakers as MNSC writes it, `<Speaker1>: ...`."""
        if len(self.speakers) == 1:
            return self.words
        return " ".join(f"<Speaker{self.speakers.index(who) + 1}>: {words}" for who, words in self.turns)


def drawn(
    split: str, chance: Random, kinds: Mapping[str, float], longest: int, readings: Readings | None = None
) -> Text:
    """A text of `split`, at most `longest` words, its kind drawn by weight; `readings` are of that split."""
    kind = chance.choices(list(kinds), list(kinds.values()))[0]
    if kind == READING:
        assert readings is not None
        source, words = readings.drawn(chance, longest)
        return Text(source, (("A", words),))
    if kind == "passage":
        return _passage(split, chance, longest)
    part = next(part for part in _parts(kind, split, chance) if len(part.words.split()) <= longest)
    return Text(kind, part.turns, part.facts, part.gist, part.malay, part.chinese, part.answer)


def split_of(words: str) -> str:
    """The split that a sentence belongs to: 98 of 100 train, one dev, one test."""
    plain = " ".join(re.findall(r"\w+", words.lower()))
    digest = hashlib.blake2b(plain.encode(), digest_size=8).digest()
    return HELD_OUT.get(int.from_bytes(digest, "big") % BUCKETS, "train")


def _passage(split: str, chance: Random, longest: int) -> Text:
    parts: list[Filled] = []
    count, length = chance.randint(*SENTENCES), 0
    for part in _parts_of_all(split, chance):
        length += len(part.words.split())
        if length > longest or len(parts) == count:
            break
        # Two of one template would leave open which of them a question is about.
        if part.kind == "story" or part.template not in {other.template for other in parts}:
            parts.append(part)
    facts = tuple(fact for part in parts for fact in part.facts)
    gists = [part.gist for part in parts]
    return Text(
        "passage",
        (("A", " ".join(part.words for part in parts)),),
        facts,
        " ".join(gists) if all(gists) and len(gists) > 1 else "",
    )


def _parts(kind: str, split: str, chance: Random) -> Iterator[Filled]:
    """Filled templates of one kind that belong to a split."""
    while True:
        part = filled(kind, chance)
        if split_of(part.words) == split:
            yield part


def _parts_of_all(split: str, chance: Random) -> Iterator[Filled]:
    # A passage of news only, or one that has stories among it: the first can be summarised.
    kinds = chance.choice((PASSAGE[:1], PASSAGE))
    while True:
        yield next(_parts(chance.choice(kinds), split, chance))
