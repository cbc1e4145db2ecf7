"""The lists that fill slots: `lists.toml`, and common words of English that a packaged lexicon can say."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

from model.embedded.lexicon import LEXICONS, LexiconFile
from model.embedded.weights import WHISPER_VOCABULARY, locate
from training.data.synthesise.texts.numbers import Value

LISTS = Path(__file__).with_name("lists.toml")
CYCLES = ("day", "month")  # lists with an order, whose entries know the next one
NOT_SAID = re.compile(r"fuck|shit|bitch|cunt|rape|porn|nazi|slut|whore|dick|nigg|fag|sex|cock|pussy|tits")


@cache
def lists() -> dict[str, tuple[Value, ...]]:
    """Every list by name; of persons there are two, "she" and "he"."""
    tables = tomllib.loads(LISTS.read_text("utf-8"))
    people = tables.pop("person")
    found = {name: _values(table["all"], name in CYCLES) for name, table in tables.items()}
    return found | {name: _values(people[name], False) for name in ("she", "he")}


@cache
def common_words() -> tuple[str, ...]:
    """Ten thousand words of known sound that are tokens of Whisper's, common ones first."""
    lexicon = LexiconFile(locate(LEXICONS["us"][0]))
    tokens = re.findall(r"^Ġ([a-z]{2,})$", locate(WHISPER_VOCABULARY).read_text("utf-8"), re.MULTILINE)
    return tuple(word for word in tokens if lexicon.get(word) and not NOT_SAID.search(word))


def _values(entries: str, cycle: bool) -> tuple[Value, ...]:
    """A list from its text: entries apart by commas, or by semicolons where each has three languages."""
    if "|" not in entries:
        said = [Value(" ".join(entry.split())) for entry in entries.split(",")]
    else:
        rows = [entry.split("|") for entry in re.split(r"[;,]", entries)]
        said = [Value(here.strip(), malay.strip(), chinese.strip()) for here, malay, chinese in rows]
    if cycle:
        following = [*said[1:], said[0]]
        said = [
            Value(now.english, now.malay, now.chinese, None, then.english)
            for now, then in zip(said, following, strict=True)
        ]
    return tuple(said)
