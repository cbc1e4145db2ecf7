"""What can be asked of a clip, with the answer that its making tells us."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import NamedTuple

from model.prompts import QUERIES, TRANSCRIBE, TRANSLATE
from training.data.synthesise.cast import AnyVoice
from training.data.synthesise.texts.draw import Text
from training.data.synthesise.texts.numbers import english

INSTRUCTIONS = Path(__file__).with_name("instructions.toml")
SERVED = {
    "asr": TRANSCRIBE,
    "translation": TRANSLATE,
    "sqa": QUERIES["answer"],
    "sds": QUERIES["summarise"],
}
# Words a second. Between the bands a listener would hesitate, so nothing is asked.
SLOW, NORMAL, FAST = 2.0, (2.3, 2.9), 3.3
ARTICLES = {"American": "an American", "British": "a British", "Scottish": "a Scottish"}
SHORTEST_RATE = 2.0  # s of speech that a rate can be told from


class Asked(NamedTuple):
    """A row without its sound."""

    task: str
    instruction: str
    answer: str


def asked(
    text: Text, voice: AnyVoice, seconds: float, wanted: Mapping[str, float], chance: Random
) -> list[Asked]:
    """The rows of a clip: each kind of task that `text` allows, as often as `wanted` says; ASR at least.

    `voice`: the first speaker's. `seconds`: of speech, without the silence around it.
    """
    rows = [
        row for row in _possible(text, voice, seconds, chance) if chance.random() < wanted.get(row.task, 0)
    ]
    return rows or [_row("asr", text.transcript, chance)]


def asked_of_silence(chance: Random) -> list[Asked]:
    """The row of a clip in which nothing is said."""
    return [_row("speech", "No, nobody is speaking.", chance)]


def asked_of_voice(voice: AnyVoice, chance: Random) -> Iterator[Asked]:
    """The rows of a clip that its only voice answers."""
    if voice.tells_sex:
        yield _row("gender", f"The speaker is a {'woman' if voice.sex == 'female' else 'man'}.", chance)
    if voice.region:
        yield _row("accent", f"The speaker has {ARTICLES[voice.region]} accent.", chance)


def _possible(text: Text, voice: AnyVoice, seconds: float, chance: Random) -> Iterator[Asked]:
    yield _row("asr", text.transcript, chance)
    if text.facts:
        question, answer = chance.choice(text.facts)
        yield _row("sqa", answer, chance, question=question)
    if text.gist and text.kind == "dialogue":
        yield _row("sds", text.gist, chance)
    if text.gist and text.kind in ("passage", "telephone"):
        yield _row("summary", text.gist, chance)
    if text.malay:
        language, answer = chance.choice((("Malay", text.malay), ("Chinese", text.chinese)))
        yield _row("translation", answer, chance, language=language)
    if text.answer:
        yield _row("instruction", text.answer, chance)
    if len(text.speakers) == 1:
        yield from asked_of_voice(voice, chance)
        if pace := _pace(len(text.words.split()), seconds):
            yield _row("rate", f"The speech is {pace}.", chance)
    count = len(text.speakers)
    yield _row("speakers", f"{english(count).capitalize()} speaker{'s' if count > 1 else ''}.", chance)
    yield _row("speech", "Yes, someone is speaking.", chance)


def _pace(words: int, seconds: float) -> str:
    """How fast that is; nothing where it is between two."""
    rate = words / seconds
    if seconds < SHORTEST_RATE:
        return ""
    if rate <= SLOW:
        return "slow"
    if rate >= FAST:
        return "fast"
    return "at a normal pace" if NORMAL[0] <= rate <= NORMAL[1] else ""


def _row(task: str, answer: str, chance: Random, **slots: str) -> Asked:
    """A row that is asked for as in serving half of the time, else in other words."""
    others = _instructions()[task]
    served = SERVED.get(task)
    chosen = served if served and chance.random() < 0.5 else chance.choice(others)
    return Asked(task, chosen.format(**slots), answer)


@cache
def _instructions() -> Mapping[str, list[str]]:
    return tomllib.loads(INSTRUCTIONS.read_text("utf-8"))
