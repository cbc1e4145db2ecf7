"""Templates with slots and alternatives, filled by lot: `templates.toml` says what a template may hold."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Literal

from training.data.synthesise.texts.lists import common_words, lists
from training.data.synthesise.texts.numbers import SLOTS, Value, english

TEMPLATES = tuple(Path(__file__).with_name(name) for name in ("templates.toml", "telephone.toml"))
ALTERNATIVES = re.compile(r"<([^<>]*)>")
SLOT = re.compile(r"\{([^{}]+)\}")
PRONOUNS = {"she": ("she", "her", "her"), "he": ("he", "him", "his")}
SOME_WORDS = (3, 8)  # how many a slot {words} holds
VOWEL_SOUND = re.compile(r"\b([Aa]) (?!as in |is )(?=(?:honest|hour|[aeiou](?!ne\b|ni[tvq]|se|uro)))")

Language = Literal["english", "malay", "chinese"]


@dataclass(frozen=True)
class Filled:
    """A template with its slots filled: who says what, and what is known of it."""

    kind: str
    template: int  # its number among all
    turns: tuple[tuple[str, str], ...]  # (speaker's letter, words)
    facts: tuple[tuple[str, str], ...] = ()  # (question, answer)
    gist: str = ""
    malay: str = ""
    chinese: str = ""
    answer: str = ""  # of a spoken request

    @property
    def words(self) -> str:
        """All that is said."""
        return " ".join(words for _, words in self.turns)


class _Slots:
    """The values of one filling, drawn when they are first named; none twice in a list."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._values: dict[str, Value] = {}
        self._person = ""

    def knows(self, text: str) -> bool:
        """Whether all that `text` names was said already."""
        return all(self._operands(slot) <= self._values.keys() for slot in SLOT.findall(text))

    def fill(self, text: str, language: Language = "english") -> str:
        """`text` with one of its alternatives each, and its slots filled."""
        chosen = ALTERNATIVES.sub(lambda match: self._chance.choice(match[1].split("|")), text)
        filled = SLOT.sub(lambda match: self._said(match[1], language), chosen)
        return _tidy(filled) if language == "english" else " ".join(filled.split())

    @staticmethod
    def _operands(slot: str) -> set[str]:
        if slot.partition(".")[0] in ("sub", "obj", "pos"):
            return {"who"}
        return set(re.split(r"[-+>]", re.sub(r"\.(capital|next)", "", slot)))

    def _said(self, slot: str, language: Language) -> str:
        if sign := re.search(r"[-+>]", slot):
            return self._worked_out(slot, sign[0])
        name, _, rest = slot.partition(".")
        if name in ("sub", "obj", "pos"):
            said = PRONOUNS[self._person][("sub", "obj", "pos").index(name)]
        elif rest == "next":
            said = self._value(name).following
        else:
            said = getattr(self._value(slot.removesuffix(".capital")), language)
        return said[:1].upper() + said[1:] if rest == "capital" else said

    def _worked_out(self, slot: str, sign: str) -> str:
        left, right = (self._value(part).number or 0 for part in slot.split(sign))
        return english({"+": left + right, "-": left - right, ">": max(left, right)}[sign])

    def _value(self, slot: str) -> Value:
        if slot not in self._values:
            self._values[slot] = self._drawn(slot.partition(".")[0])
        return self._values[slot]

    def _drawn(self, name: str) -> Value:
        if name == "who":
            self._person = self._chance.choice(("she", "he"))
            name = self._person
        if name == "words":
            return Value(" ".join(self._word() for _ in range(self._chance.randint(*SOME_WORDS))))
        while True:
            if name == "word":
                value = Value(self._word())
            elif name in SLOTS:
                value = SLOTS[name](self._chance)
            else:
                value = self._chance.choice(lists()[name])
            if value not in self._values.values():
                return value

    def _word(self) -> str:
        # The square of a lot falls on common words more often, and still on all.
        words = common_words()
        return words[int(len(words) * self._chance.random() ** 2)]


@cache
def templates() -> dict[str, tuple[tuple[int, Mapping[str, Any]], ...]]:
    """All templates by kind, numbered through."""
    numbered: dict[str, tuple[tuple[int, Mapping[str, Any]], ...]] = {}
    first = 0
    tables = (tomllib.loads(path.read_text("utf-8")) for path in TEMPLATES)
    for kind, rows in (item for table in tables for item in table.items()):
        numbered[kind] = tuple(enumerate(rows, first))
        first += len(rows)
    return numbered


def filled(kind: str, chance: Random) -> Filled:
    """One template of a kind, filled by lot."""
    number, template = chance.choice(templates()[kind])
    slots = _Slots(chance)
    turns = template.get("turns") or [["A", template["text"]]]
    said = tuple((speaker, slots.fill(words)) for speaker, words in turns)
    return Filled(
        kind,
        number,
        said,
        tuple(
            (slots.fill(question), sentence(slots.fill(answer)))
            for question, answer in template.get("facts", ())
            if slots.knows(question + answer)
        ),
        slots.fill(template.get("gist", "")),
        slots.fill(template.get("malay", ""), "malay"),
        slots.fill(template.get("chinese", ""), "chinese"),
        sentence(slots.fill(template.get("answer", ""))),
    )


def _tidy(text: str) -> str:
    """Single spaces, none before a mark, "an" where it belongs, capitals where sentences begin."""
    text = re.sub(r" (?=[,.?!])", "", " ".join(text.split()))
    text = re.sub(r"([,.?!])[,.]+", r"\1", VOWEL_SOUND.sub(r"\1n ", text))
    return re.sub(r"(?:^|(?<=[.?!] ))[a-z]", lambda match: match[0].upper(), text)


def sentence(text: str) -> str:
    """A text with a full stop where it has no mark at its end, as answers are written."""
    return text if not text or text[-1] in ".?!" else f"{text}."
