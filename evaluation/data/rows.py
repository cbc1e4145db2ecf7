"""Rows of parquet files, few at a time. Rows are numbered through all files of a data set, from 0."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from evaluation.errors import DataError
from evaluation.registry import Dataset

AT_ONCE = 4  # rows in memory: one of Earnings-22 holds 110 MB


@dataclass(frozen=True)
class Row:
    """A row of the data, its cells as pyarrow's scalars by column."""

    number: int
    folder: Path  # of its file: an audio cell may name a file beside it
    cells: dict[str, Any]

    def value(self, path: str) -> Any:
        """What is at `column` or `column.field`, as Python has it; None where there is nothing."""
        column, _, rest = path.partition(".")
        found = self.cells[column].as_py()
        for key in rest.split(".") if rest else ():
            found = found.get(key) if isinstance(found, dict) else None
        return found


def count(files: Sequence[Path]) -> int:
    """How many rows the files have, by their footers. Raises DataError."""
    return sum(_metadata(path).num_rows for path in files)


def spread(total: int, limit: int, seed: int) -> frozenset[int]:
    """So many row numbers out of `total`, by a hash: those of a smaller limit are among those of a larger."""
    return frozenset(heapq.nsmallest(limit, range(total), key=lambda number: _hash(f"{seed}:{number}")))


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def check(dataset: Dataset, files: Sequence[Path]) -> None:
    """Raises DataError where a file lacks a column or an id is there twice."""
    for path in files:
        columns = _metadata(path).schema.to_arrow_schema().names
        if missing := set(dataset.fields.columns) - set(columns):
            raise DataError(
                f"{path} has no column {', '.join(sorted(missing))}; it has {', '.join(columns)}. "
                f"Mend `fields` of [{dataset.id}], or name another folder."
            )
    if dataset.fields.id:
        _check_ids(dataset, files)


def _check_ids(dataset: Dataset, files: Sequence[Path]) -> None:
    column = dataset.fields.id.partition(".")[0]
    met: dict[str, int] = {}
    for row in _rows(files, [dataset.fields.id], [column], None, at_once=1_000):
        name = row.value(dataset.fields.id)
        if name is not None and met.setdefault(str(name), row.number) != row.number:
            raise DataError(
                f"{dataset.title}: rows {met[str(name)]} and {row.number} have the same id, {name}. "
                f"Leave `fields.id` of [{dataset.id}] out, so that rows are numbered."
            )


def read(dataset: Dataset, files: Sequence[Path], chosen: Collection[int] | None) -> Iterator[Row]:
    """The rows with the chosen numbers, or all, in their order. Raises DataError where a file is damaged."""
    columns = dataset.fields.columns
    return _rows(files, columns, columns, chosen, AT_ONCE)


def _rows(
    files: Sequence[Path],
    paths: Sequence[str],
    columns: Sequence[str],
    chosen: Collection[int] | None,
    at_once: int,
) -> Iterator[Row]:
    start = 0
    for path in files:
        with _explained(path), parquet.ParquetFile(path, pre_buffer=False) as file:
            for group in range(file.num_row_groups):
                here = range(start, start + file.metadata.row_group(group).num_rows)
                start = here.stop
                if chosen is not None and not any(number in chosen for number in here):
                    continue
                numbers = iter(here)
                for batch in file.iter_batches(at_once, row_groups=[group], columns=list(paths)):
                    for place, number in zip(range(batch.num_rows), numbers, strict=False):
                        if chosen is None or number in chosen:
                            yield Row(number, path.parent, {name: batch[name][place] for name in columns})


def _metadata(path: Path) -> Any:
    with _explained(path):
        return parquet.read_metadata(path)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Says in words that a file cannot be read."""
    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise DataError(f"{path} cannot be read ({reason}). Fetch the file again.") from None
