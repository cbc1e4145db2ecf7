"""The clips of a data set, one after another, from a local copy or from the hub.

    for one in examples(dataset, folder):  # an Example, or a Broken that says why there is none

Copies are parquet files as the hub has them, read few rows at a time: memory does not grow with the data set.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evaluation import instructions as sentences
from evaluation.core import Example
from evaluation.data import files, hub, rows
from evaluation.data.example import Broken, made
from evaluation.errors import DataError
from evaluation.instructions import Lists
from evaluation.registry import OWN, Dataset

__all__ = ["Broken", "count", "examples"]


def examples(
    dataset: Dataset,
    folder: Path | None,
    limit: int | None = None,
    seed: int = 0,
    *,
    download: bool = False,
    instructions: Lists | None = None,
) -> Iterator[Example | Broken]:
    """The clips of a data set, in its order; with `limit` so many, spread over it by `seed`.

    The clips of a smaller limit are among those of a larger one, so that a run can be made longer.
    `instructions` stand for the lists of instructions.toml. Raises DataError before the first clip where the
    data set is missing, gated, of another form, or has an id twice; a row that is no use comes as a Broken.
    """
    if limit is not None and limit < 1:
        raise DataError(f"A limit of {limit} leaves no clip. Say 1 or more, or leave it out for all.")
    drawn = _drawn(dataset, instructions)
    found = _files(dataset, folder, download)
    rows.check(dataset, found)
    chosen = None if limit is None else rows.spread(rows.count(found), limit, seed)
    return (made(dataset, row, drawn, seed) for row in rows.read(dataset, found, chosen))


def count(dataset: Dataset, folder: Path | None, *, download: bool = False) -> int:
    """How many clips a data set has, by its files and without reading them. Raises DataError."""
    return rows.count(_files(dataset, folder, download))


def _files(dataset: Dataset, folder: Path | None, download: bool) -> list[Path]:
    if folder is not None:
        return files.find(dataset, folder)
    if not dataset.hub:
        raise DataError(f"{dataset.title} is on no hub. Name its folder with --data.")
    if not download:
        raise DataError(
            f"{dataset.title} is not here. Name a copy with --data, or add --download to fetch it "
            f"from {dataset.page} (licence: {dataset.licence})."
        )
    return hub.fetch(dataset)


def _drawn(dataset: Dataset, instructions: Lists | None) -> tuple[str, ...]:
    """The sentences to draw from; none where a clip brings its own."""
    if dataset.instruction == OWN:
        return ()
    lists = sentences.ours() if instructions is None else instructions
    if dataset.instruction not in lists:
        raise DataError(
            f"[{dataset.id}] draws from the instructions `{dataset.instruction}`, which are missing. "
            f"There are {', '.join(lists) or 'none'}."
        )
    return tuple(lists[dataset.instruction])
