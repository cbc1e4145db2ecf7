"""Gender and accent rows: the corpus knows the answer, and a phrasing is drawn for it by the row's id."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from training.data.annotate.questions import prompts
from training.data.schema import read_index
from training.errors import DataError

COLUMNS = {"gender": "sexes", "accent": "accents"}  # of the index
PEOPLE = {"female": "woman", "male": "man"}
PLACES = ("first", "second", "third", "fourth", "fifth", "sixth")

Phrasings = Mapping[tuple[str, str], Sequence[str]]
"""By task and label: sentences that tell it."""


class Known:
    """What a corpus' index tells of the speakers of its rows."""

    def __init__(self, corpus: Path, accents: Mapping[str, str]) -> None:
        """`accents`: how the corpus' own names are said. Raises DataError where there is no index."""
        self._index = read_index(corpus)
        self._accents = accents

    def labels(self, task: str) -> list[str]:
        """All that the speakers of the corpus have, in order of their names."""
        values = pc.unique(self._index[COLUMNS[task]].combine_chunks().flatten()).to_pylist()
        return sorted({label for value in values if (label := self._label(task, value))})

    def of(self, ids: Sequence[str]) -> dict[str, dict[str, list[str]]]:
        """For each row its speakers' labels by task, "" where one is not known."""
        return {
            id: {
                task: [self._label(task, value) for value in entry[column] or []]
                for task, column in COLUMNS.items()
            }
            for id, entry in self.entries(ids).items()
        }

    def entries(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The index's own entries of some rows. Raises DataError where one has none."""
        table = self._index.filter(pc.is_in(self._index["id"], pa.array(ids, pa.string())))
        found = {entry["id"]: entry for entry in table.to_pylist()}
        if missing := [id for id in ids if id not in found]:
            raise DataError(
                f"Row {missing[0]} is not in the corpus' index.parquet. Build that corpus again; what is "
                "finished is kept."
            )
        return found

    def _label(self, task: str, value: str) -> str:
        return PEOPLE.get(value, "") if task == "gender" else self._accents.get(value, value)


def own_phrasings(task: str, label: str) -> list[str]:
    """Our own sentences."""
    return [sentence.format(label=label) for sentence in prompts()[task]["answers"]]


def row_about(id: str, task: str, labels: Sequence[str], phrasings: Phrasings) -> tuple[str, str] | None:
    """Instruction and answer about the speakers of a row; None where one of them is not known."""
    table = prompts()[task]
    if not labels or not all(labels) or len(labels) > len(PLACES):
        return None
    if len(labels) == 1:
        return _drawn(id, table["instructions"]), _drawn(f"{id}/answer", phrasings[task, labels[0]])
    told = [
        table["dialogue_answer"].format(place=place, label=label)
        for place, label in zip(PLACES, labels, strict=False)
    ]
    others = [sentence[0].lower() + sentence[1:] for sentence in told[1:]]
    answer = ", ".join([told[0], *others[:-1]]) + f" and {others[-1]}."
    return _drawn(id, table["dialogue_instructions"]), answer


def _drawn(key: str, choices: Sequence[str]) -> str:
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return choices[int.from_bytes(digest, "big") % len(choices)]
