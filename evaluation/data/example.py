"""A row of the data as an Example, with its sound as a whole file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from evaluation import instructions
from evaluation.core import Example
from evaluation.data.rows import Row
from evaluation.data.sound import NoSound, file_of
from evaluation.registry import Dataset

_PLACE = re.compile(r"\{(instruction|choices)\}")


@dataclass(frozen=True)
class Broken:
    """A row that cannot be asked about. It counts as a failed clip, so that nothing is left out silently."""

    id: str
    why: str


class _Unusable(Exception):
    """Why a row is no use, as the end of a sentence."""


def made(dataset: Dataset, row: Row, drawn: tuple[str, ...], seed: int) -> Example | Broken:
    """The row's Example; `drawn` are the sentences for clips without a question of their own."""
    name = _id(dataset, row)
    fields = dataset.fields
    try:
        choices = _choices(row.value(fields.choices)) if fields.choices else ()
        said = (
            instructions.draw(drawn, name, seed) if drawn else _text(row, fields.instruction, "instruction")
        )
        asked = {"instruction": said, "choices": " ".join(choices)}
        return Example(
            id=name,
            audio=file_of(row.cells[fields.audio], row.folder),
            instruction=_PLACE.sub(lambda place: asked[place[1]], dataset.asked),
            reference=_without(_text(row, fields.reference, "reference answer"), dataset.cut),
            question=_text(row, fields.question, "question") if fields.question else "",
            choices=choices,
            group=_text(row, fields.group, "group") if fields.group else "",
        )
    except (_Unusable, NoSound) as error:
        return Broken(name, f"Row {row.number} of {dataset.title} has {error}.")


def _id(dataset: Dataset, row: Row) -> str:
    own = row.value(dataset.fields.id) if dataset.fields.id else None
    return str(own) if own not in (None, "") else f"{dataset.id}-{row.number:06}"


def _text(row: Row, path: str, what: str) -> str:
    """A text cell; some corpora wrap texts as {"text": ...}."""
    value = row.value(path)
    if isinstance(value, dict) and "text" in value:
        value = value["text"]
    if value is None:
        raise _Unusable(f"no {what}")
    if not isinstance(value, str):
        raise _Unusable(f"a {what} that is no text (`{path}` is {type(value).__name__})")
    return value


def _choices(value: Any) -> tuple[str, ...]:
    several = [value] if isinstance(value, str) else value
    if not (isinstance(several, list) and several and all(isinstance(each, str) for each in several)):
        raise _Unusable("no choices, or choices that are no texts")
    return tuple(several)


def _without(reference: str, words: str) -> str:
    return reference.replace(words, "") if words else reference
