"""This repository's own clips as examples: to write down, questions with accepted answers, and who speaks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from evaluation.core import Example
from evaluation.errors import DataError

FOLDER = Path(__file__).parents[2] / "samples"
TRANSCRIBE = "Please transcribe this speech."
GENDER = "Is the speaker a man or a woman?"
WORDS = {  # what counts as each answer to GENDER
    "woman": ("woman", "female", "lady", "girl"),
    "man": ("man", "male", "gentleman", "boy"),
}
_NAMED = {"f": "woman", "m": "man"}  # the second letter of Kokoro's names


@cache
def manifest() -> tuple[dict[str, Any], ...]:
    """The clips of the manifest. Raises DataError."""
    path = FOLDER / "manifest.json"
    try:
        found: list[dict[str, Any]] = json.loads(path.read_bytes())["samples"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} cannot be read ({error}). Restore it, or run `make samples`.") from None
    return tuple(found)


def to_write_down(group: str) -> Iterator[Example]:
    """The clips of a group, whole dialogues among them."""
    for clip in _of(group):
        yield Example(clip["id"], _sound(clip), TRANSCRIBE, clip["transcript"], group=group)


def questions(group: str) -> Iterator[Example]:
    """Every prompt that has accepted answers."""
    for clip in _of(group):
        asked = [prompt for prompt in clip["prompts"] if prompt.get("answers")]
        for number, prompt in enumerate(asked, 1):
            yield accepting(f"{clip['id']}-{number}", _sound(clip), prompt["text"], prompt["answers"], group)


def voices() -> Iterator[Example]:
    """The clips in which one person speaks, by the voice's sex."""
    for clip in manifest():
        if clip["speakers"] == 1:
            (voice,) = clip["voices"]
            (sex,) = {_NAMED[part[1]] for part in voice.split("+")}
            yield gender(clip["id"], _sound(clip), sex)


def gender(id: str, audio: bytes, sex: str) -> Example:
    """Whether a clip's one speaker is a man or a woman."""
    (other,) = WORDS.keys() - {sex}
    return accepting(id, audio, GENDER, WORDS[sex], sex, WORDS[other])


def accepting(
    id: str,
    audio: bytes,
    question: str,
    accepted: tuple[str, ...],
    group: str,
    rejected: tuple[str, ...] = (),
) -> Example:
    """A question that is answered by any of some phrases: they stand in `choices`."""
    return Example(
        id,
        audio,
        question,
        accepted[0],
        choices=tuple(accepted),
        group=group,
        rejected=rejected,
    )


def _of(group: str) -> Iterator[dict[str, Any]]:
    return (clip for clip in manifest() if clip["group"] == group)


def _sound(clip: dict[str, Any]) -> bytes:
    path = FOLDER / str(clip["file"])
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}). Restore it, or run `make samples`."
        ) from None
