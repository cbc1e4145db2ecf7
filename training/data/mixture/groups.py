"""Row groups of a corpus' shards: what there is, and a bounded store of those that were read last."""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from training.data.mixture.config import Source
from training.data.schema import SAMPLE_RATE, SCHEMA, decode, shards
from training.errors import DataError

READERS = 16  # threads that read the shards' footers: a network's answers are waited for side by side
LOOK_AFTER = 1_000  # rows, when it is seen whether the memory for row groups does
TEXTS = ("instruction", "answer", "task", "source")

_log = logging.getLogger(__name__)


class Contents:
    """What the shards of one split hold: for each shard, how many rows of each task each row group has.

    Only footers are read, and the column of tasks where `by_task` asks for it. Raises DataError.
    """

    def __init__(self, corpus: Path, split: str, by_task: bool) -> None:
        self.paths = shards(corpus, split)
        if not self.paths:
            raise DataError(f"{corpus / split} holds no shards. Build that corpus, or mend the path to it.")
        with ThreadPoolExecutor(READERS) as pool:
            self.groups: list[list[Counter[str]]] = list(
                pool.map(partial(_counted, by_task=by_task), self.paths)
            )


def contents_of(sources: Sequence[Source]) -> list[Contents]:
    """Each source's contents; a corpus that several sources draw from is looked through once."""
    found: dict[tuple[Path, str], Contents] = {}
    for key in {(source.corpus, source.split): None for source in sources}:
        by_task = any(source.tasks for source in sources if (source.corpus, source.split) == key)
        found[key] = Contents(*key, by_task)
    return [found[source.corpus, source.split] for source in sources]


class RowGroups:
    """The row groups of a source that hold rows of its tasks: `rows[n]` of them are in group n."""

    def __init__(self, source: Source, contents: Contents) -> None:
        """Raises DataError where there are none."""
        self.source = source
        self.paths = contents.paths
        found = [
            (shard, index, count)
            for shard, groups in enumerate(contents.groups)
            for index, tasks in enumerate(groups)
            if (count := sum(tasks[task] for task in source.tasks or tasks))
        ]
        if not found:
            raise DataError(f"{source.title} has no rows. Choose other tasks or another split.")
        table = np.array(found, np.int32)
        self._shard, self._index = table[:, 0], table[:, 1]
        self.rows: NDArray[np.int64] = table[:, 2].astype(np.int64)

    def read(self, group: int) -> pa.Table:
        """The rows of one group that are of the source's tasks. Raises DataError."""
        path = self.path(group)
        with _said(path), pq.ParquetFile(path) as file:
            table = file.read_row_group(int(self._index[group]))
        if self.source.tasks:
            table = table.filter(pc.is_in(table["task"], pa.array(self.source.tasks)))
        return table

    def path(self, group: int) -> Path:
        """The shard that holds a group."""
        return self.paths[int(self._shard[group])]


def _counted(path: Path, by_task: bool) -> list[Counter[str]]:
    """Rows of each task in each row group of a shard; all under "" where tasks do not matter."""
    with _said(path), pq.ParquetFile(path) as file:
        if not file.schema_arrow.equals(SCHEMA):
            raise DataError(f"{path} has other columns than rows have. Build that corpus again.")
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
        if not by_task:
            return [Counter({"": size}) for size in sizes]
        tasks = file.read(columns=["task"])["task"].to_pylist()
    starts = [0, *np.cumsum(sizes)]
    return [Counter(tasks[first:last]) for first, last in pairwise(starts)]


class Store:
    """The row groups that were read last, up to `limit` bytes; rows are decoded from them."""

    def __init__(self, sources: Sequence[RowGroups], limit: int) -> None:
        self.sources = sources
        self.limit = limit  # bytes
        self.reads = 0  # row groups that had to be read
        self.taken = 0  # rows
        self.unusable: dict[str, str] = {}  # id of a row: what is wrong with it
        self._tables: OrderedDict[tuple[int, int], pa.Table] = OrderedDict()
        self._held = 0

    def take(self, source: int, group: int, row: int) -> dict[str, Any]:
        """One row, decoded; where it cannot be used, the next one of its group that can.

        The row says in `left_out` which rows it stands in for and why, and each is logged once. Raises
        DataError where a whole group cannot be used or its shard cannot be read.
        """
        table = self._table(source, group)
        self.taken += 1
        if self.taken == LOOK_AFTER and self.reads > LOOK_AFTER / 2:
            _log.warning(
                "%d row groups were read for %d rows: memory for them is short. Raise the mixture's cache_mb "
                "or lower its shuffle_groups.",
                self.reads,
                self.taken,
            )
        left_out: list[str] = []
        for distance in range(table.num_rows):
            found: dict[str, Any] = table.slice((row + distance) % table.num_rows, 1).to_pylist()[0]
            if fault := _fault(found):
                left_out.append(f"{found['id']}: it {fault}")
                self._note(found["id"], fault, source, group)
                continue
            return found | {"left_out": tuple(left_out)}
        path = self.sources[source].path(group)
        raise DataError(f"No row of a group of {path} can be used ({left_out[0]}). Build that shard again.")

    def _table(self, source: int, group: int) -> pa.Table:
        key = (source, group)
        if key not in self._tables:
            self.reads += 1
            self._tables[key] = self.sources[source].read(group)
            self._held += self._tables[key].nbytes
        self._tables.move_to_end(key)
        while self._held > self.limit and len(self._tables) > 1:
            self._held -= self._tables.popitem(last=False)[1].nbytes
        return self._tables[key]

    def _note(self, id: str, fault: str, source: int, group: int) -> None:
        if id not in self.unusable:
            path = self.sources[source].path(group)
            _log.warning("Row %s of %s is not used: it %s. Another takes its place.", id, path, fault)
        self.unusable[id] = fault

    def __getstate__(self) -> dict[str, Any]:
        """Without the rows: each worker reads its own."""
        return self.__dict__ | {"_tables": OrderedDict(), "_held": 0}


def _fault(row: dict[str, Any]) -> str:
    """Decode `row` in place, "context" becoming "audio"; what is wrong with it, or an empty string."""
    context: Mapping[str, Any] = row.pop("context") or {}
    missing = [name for name in TEXTS if not (row[name] or "").strip()]
    if missing:
        return f"has no {' and no '.join(missing)}"
    try:
        row["audio"] = decode(context.get("bytes") or b"")
    except DataError as error:
        return f"has no audio that can be decoded ({error})"
    if not row["audio"].size or abs(row["audio"].size - (row["duration"] or 0) * SAMPLE_RATE) > 1:
        return f"holds {row['audio'].size / SAMPLE_RATE:.2f} s of sound and says {row['duration']} s"
    return ""


@contextmanager
def _said(path: Path) -> Iterator[None]:
    """What goes wrong with a shard, as a DataError that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing. Build that corpus again; what is finished is kept.") from error
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(
            f"{path} is not a whole Parquet file ({error}). Delete it and build that corpus again."
        ) from error
