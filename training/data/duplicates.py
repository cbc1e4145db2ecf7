"""Rows that were there before: the same id, or the same samples for the same task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

ASKED = ("sqa", "instruction")  # tasks whose instruction asks something else each time


@dataclass(frozen=True)
class Duplicate:
    """Row `row` is the same as row `first`, by the rule of that name."""

    row: int
    first: int
    rule: str


def find(table: pa.Table) -> list[Duplicate]:
    """Rows to leave out, the first of each stays; columns `id`, `task`, `instruction`, `audio_sha256`."""
    asks = pc.is_in(table["task"], pa.array(ASKED))
    asked = pc.if_else(asks, table["instruction"], "")
    sound = _together(numbered(table["audio_sha256"])[0], numbered(table["task"])[0], numbered(asked)[0])
    found = {row: Duplicate(row, first, "duplicate_audio") for row, first in _repeated(sound)}
    ids = _repeated(numbered(table["id"])[0])
    found |= {row: Duplicate(row, first, "duplicate_id") for row, first in ids}
    return [found[row] for row in sorted(found)]


def numbered(values: pa.ChunkedArray) -> tuple[NDArray[np.int64], pa.Array]:
    """Equal values, equal numbers (rows,), and the values that the numbers stand for."""
    chunks = pa.chunked_array(values).dictionary_encode().unify_dictionaries().chunks
    if not chunks:
        return np.zeros(0, np.int64), pa.array([], values.type)
    numbers = np.concatenate([np.asarray(chunk.indices) for chunk in chunks]).astype(np.int64)
    return numbers, chunks[0].dictionary


def _together(*columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for the numbers of several columns (rows,)."""
    joined = columns[0]
    for column in columns[1:]:
        joined = joined * (int(column.max(initial=0)) + 1) + column
    return joined


def _repeated(keys: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Rows whose key stood before, and where it stood first."""
    _, first, of_key = np.unique(keys, return_index=True, return_inverse=True)
    origin = first[of_key]
    return [(int(row), int(origin[row])) for row in np.flatnonzero(origin != np.arange(keys.size))]
