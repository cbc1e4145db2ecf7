"""From units to a corpus: which rows stay, in which split, in which shard; and the shards themselves.

Only here the whole corpus is looked at, by a table of a few hundred bytes a row. The sound stays on the disk:
a shard is made of the units it needs, by any process, and every unit is read for one shard of each split.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from training.data import duplicates, leaks, schema, splits
from training.data.files import write_text
from training.data.ledger import Ledger
from training.data.settings import Preparation

GATHERED = (
    "id", "task", "instruction", "source", "duration",
    "audio_sha256", "speakers", "text", "wanted_split", "bytes",
)  # fmt: skip


@dataclass(frozen=True)
class Shard:
    """A shard to write: rows of units, by their numbers in the unit's file."""

    split: str
    number: int
    parts: tuple[tuple[str, tuple[int, ...]], ...]  # a unit's file, its rows

    @property
    def name(self) -> str:
        """Within the corpus."""
        return f"{self.split}/{self.split}-{self.number:05d}.parquet"

    @property
    def rows(self) -> int:
        """How many it holds."""
        return sum(len(rows) for _, rows in self.parts)

    @property
    def key(self) -> str:
        """A hash of what is in it: units' files are named by their contents."""
        parts = [[Path(file).name, list(rows)] for file, rows in self.parts]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def gather(files: Sequence[Path]) -> pa.Table:
    """All rows of all units without their sound; `file` and `row` say where each lies."""
    tables = []
    for number, file in enumerate(files):
        table = pq.read_table(file, columns=list(GATHERED))
        place = {
            "file": pa.array(np.full(len(table), number, np.int32)),
            "row": pa.array(np.arange(len(table))),
        }
        for name, values in place.items():
            table = table.append_column(name, values)
        tables.append(table)
    return pa.concat_tables(tables)


def choose(build: Preparation, table: pa.Table, ledgers: Mapping[str, Ledger]) -> list[str]:
    """The split of each row, or nothing where it is dropped into the ledger of its source."""
    found = _split(build, table)

    def drop(row: int, rule: str, why: str) -> None:
        found[row] = ""
        ledgers[table["source"][row].as_py()].take_back(rule, f"{table['id'][row]} {why}")

    for row in np.flatnonzero(np.asarray(pc.equal(table["wanted_split"], "train"))):
        if found[row] == "test":
            drop(int(row), "leaked_audio", "is in the corpus' own test set too")
    for double in duplicates.find(table):
        if found[double.row]:
            drop(double.row, double.rule, f"as {table['id'][double.first]}")
    rules = {"leaked_audio", "leaked_speaker"} | ({"leaked_text"} if build.leaks.drop_text else set())
    tests = [
        (str(other), leaks.Heard().add(leaks.rows(other, ["dev", "test"]))) for other in build.leaks.against
    ]
    if build.leaks.drop_text:
        tests.append(("this corpus", leaks.Heard().add(rows_of(table, found, ("dev", "test")))))
    for place, train in zip(_places(found, "train"), rows_of(table, found, ("train",)), strict=True):
        shared = (
            (name, *pair) for name, test in tests for pair in test.shares(train).items() if pair[0] in rules
        )
        for name, rule, other in islice(shared, 1):
            drop(place, rule, f"as {other} of {name}")
    return found


def rows_of(table: pa.Table, found: Sequence[str], wanted: Sequence[str]) -> Iterator[leaks.Row]:
    """The rows of some splits, as the leak check wants them."""
    places = pa.array([row for split in wanted for row in _places(found, split)], pa.int64())
    held = table.select(["id", "audio_sha256", "speakers", "text"]).take(places)
    for batch in held.to_batches(max_chunksize=4_096):
        for row in batch.to_pylist():
            yield leaks.Row(row["id"], row["audio_sha256"], row["speakers"], row["text"])


def plan(build: Preparation, files: Sequence[Path], table: pa.Table, found: Sequence[str]) -> list[Shard]:
    """Shards of about `shard_mb`, each of units that lie far from each other in the corpus."""
    file, row, size = (np.asarray(table[name]) for name in ("file", "row", "bytes"))
    splits_of = np.asarray(found)
    # By a hash of the name: neighbours in a delivery sound alike, and readers take a shard's rows together.
    order = sorted(range(len(files)), key=lambda at: hashlib.sha256(_unit(files[at]).encode()).digest())
    bounds = np.searchsorted(file, np.arange(len(files) + 1))
    shards = []
    for split in schema.SPLITS:
        parts: list[tuple[str, tuple[int, ...]]] = []
        held = number = 0
        for at in order:
            inside = np.arange(bounds[at], bounds[at + 1])[splits_of[bounds[at] : bounds[at + 1]] == split]
            if not inside.size:
                continue
            parts.append((str(files[at]), tuple(map(int, row[inside]))))
            held += int(size[inside].sum())
            if held >= build.shard_mb * 1_000_000:
                shards.append(Shard(split, number, tuple(parts)))
                parts, held, number = [], 0, number + 1
        if parts:
            shards.append(Shard(split, number, tuple(parts)))
    return shards


def write(shard: Shard, out: Path, done: Path) -> None:
    """Write a shard, unless `done` says that it is written; rows are in the order of their ids' hashes."""
    path, mark = out / shard.name, done / f"{Path(shard.name).stem}.json"
    if path.exists() and mark.exists() and json.loads(mark.read_text("utf-8"))["key"] == shard.key:
        return
    parts = [pq.read_table(file, columns=schema.SCHEMA.names).take(list(rows)) for file, rows in shard.parts]
    table = pa.concat_tables([part.select(schema.SCHEMA.names) for part in parts])
    order = np.argsort([hashlib.sha256(id.encode()).digest() for id in table["id"].to_pylist()])
    steps = range(0, len(order), schema.ROW_GROUP_ROWS)
    groups = (table.take(order[at : at + schema.ROW_GROUP_ROWS]).to_pylist() for at in steps)
    schema.write_shard(path, (row for group in groups for row in group))
    write_text(mark, json.dumps({"key": shard.key, "rows": shard.rows, "bytes": path.stat().st_size}) + "\n")


def index(files: Sequence[Path], table: pa.Table, found: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of `index.parquet`."""
    names = [name for name in schema.INDEX.names if name != "split"]
    at = 0
    for file in files:
        for row in pq.read_table(file, columns=names).to_pylist():
            if found[at]:
                yield row | {"split": found[at]}
            at += 1
    assert at == len(table)


def contents(table: pa.Table, found: Sequence[str]) -> dict[str, Any]:
    """Rows, hours and speakers of each split, by task and by source."""
    report: dict[str, Any] = {}
    for split in schema.SPLITS:
        held = table.select(["duration", "task", "source", "speakers"]).take(
            pa.array(_places(found, split), pa.int64())  # typed: a split may be empty
        )
        report[split] = {
            "rows": len(held),
            "hours": _hours(held["duration"]),
            "speakers": len(pc.unique(pc.list_flatten(held["speakers"]))),
            "by_task": _tally(held, "task"),
            "by_source": _tally(held, "source"),
        }
    return report


def _tally(table: pa.Table, name: str) -> dict[str, dict[str, float]]:
    found = {}
    for value in sorted(pc.unique(table[name]).to_pylist()):
        part = table.filter(pc.equal(table[name], value))
        found[value] = {"rows": len(part), "hours": _hours(part["duration"])}
    return found


def _hours(seconds: pa.ChunkedArray) -> float:
    return round((pc.sum(seconds).as_py() or 0.0) / 3600, 4)


def _split(build: Preparation, table: pa.Table) -> list[str]:
    """Splits by speakers and sound, and by what the corpora themselves want."""
    group, called = splits.groups(table["audio_sha256"], table["speakers"])
    # A published Train may give a dev set, but no test set: that one is published too.
    test, train = (
        set(group[np.asarray(pc.equal(table["wanted_split"], split))].tolist()) for split in ("test", "train")
    )
    own = splits.assign(called, test, train, build.splits)
    return [own[at] for at in group]


def _places(found: Sequence[str], split: str) -> list[int]:
    return [row for row, its in enumerate(found) if its == split]


def _unit(file: Path) -> str:
    """A unit's name: its file's without the hash."""
    return file.name.rsplit(".", 2)[0]
