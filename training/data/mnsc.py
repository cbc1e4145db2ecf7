"""MNSC as published: MERaLiON/Multitask-National-Speech-Corpus-v1, downloaded into a folder.

Its subsets are folders `{ASR,SQA,SDS}-PART{n}-{Train,Test}` and
`PQA-{AR,GR}-{Sentence,Dialogue}-{Train,Test}` of Parquet with `context`, `instruction`, `answer`. It does
not say who speaks, so only its own Test keeps speakers of train and test apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from training.data.audio import Recording
from training.data.clips import Clip, Split, Unit
from training.data.ledger import Ledger, Rejected
from training.data.settings import Rules, Source
from training.errors import DataError

TASKS = {"ASR": "asr", "SQA": "sqa", "SDS": "sds", "PQA-AR": "accent", "PQA-GR": "gender"}
SUBSET = re.compile(r"(ASR|SQA|SDS|PQA-AR|PQA-GR)-.*(Train|Test)")
UNIT_ROWS = 500
COLUMNS = ("context", "instruction", "answer")


def units(source: Source, number: int) -> list[Unit]:
    """Some row groups each. Raises DataError: no subset, a subset's name or Parquet that is none."""
    names = source.subsets or tuple(
        sorted(path.name for path in source.folder.glob("*") if SUBSET.fullmatch(path.name))
    )
    if not names:
        raise DataError(
            f"{source.folder} holds no subset such as ASR-PART3-Train. "
            "Set the source's `folder` to where the data set was downloaded."
        )
    found = []
    for name in names:
        if not SUBSET.fullmatch(name):
            raise DataError(
                f"'{name}' is no subset of MNSC. They are named as ASR-PART3-Train and PQA-GR-Dialogue-Test."
            )
        files = sorted((source.folder / name).glob("*.parquet"))
        if not files:
            raise DataError(
                f"{source.folder / name} holds no Parquet. Download that subset, or take it off the list."
            )
        for path in files:
            for first, last in _parts(path):
                unit = f"{source.label}-{name}-{path.stem}-{first:05d}"
                found.append(Unit(number, unit, (str(path),), {"subset": name, "groups": [first, last]}))
    return found


def clips(source: Source, unit: Unit, rules: Rules, heard: Ledger, rows: Ledger) -> Iterator[Clip]:
    """A clip a row."""
    subset = unit.details["subset"]
    kind = SUBSET.fullmatch(subset)
    assert kind is not None
    first, last = unit.details["groups"]
    file = pq.ParquetFile(unit.files[0])
    number = sum(file.metadata.row_group(at).num_rows for at in range(first))
    for row in _published(file, unit, first, last):
        id = f"{source.label}-{subset}-{Path(unit.files[0]).stem}-{number:07d}"
        number += 1
        try:
            clip = _clip(row, id, TASKS[kind[1]], "test" if kind[2] == "Test" else "train", rules, heard)
        except Rejected as error:
            heard.drop(error.rule, f"{id}: {error.why}")
            continue
        heard.keep()
        yield clip


def _published(file: pq.ParquetFile, unit: Unit, first: int, last: int) -> Iterator[dict[str, Any]]:
    groups = list(range(first, last))
    try:
        for batch in file.iter_batches(batch_size=16, row_groups=groups, columns=list(COLUMNS)):
            yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{unit.files[0]} is broken in row groups {first} to {last - 1} ({error}). Download it again, or "
            f"leave them out by naming {unit.name} under `skip`."
        ) from None


def _clip(row: dict[str, Any], id: str, task: str, split: Split, rules: Rules, heard: Ledger) -> Clip:
    sound = row["context"].get("bytes") if isinstance(row["context"], dict) else None
    instruction, answer = (str(row[name] or "").strip() for name in ("instruction", "answer"))
    if not sound:
        raise Rejected("no_audio", "the row's `context` holds no bytes")
    if not instruction or not answer:
        raise Rejected("empty", "no instruction or no answer")
    with Recording(sound, id) as recording:
        if recording.seconds > rules.longest_s:
            raise Rejected("too_long", f"{recording.seconds:,.1f} s")
        for kind in recording.repairs:
            heard.repair(kind, f"{id}: {recording.rate:,} Hz, {recording.channels} ch")
        text = answer if task == "asr" else ""
        return Clip(id, recording.read(), text, (), task, instruction, answer, split)


def _parts(path: Path) -> Iterator[tuple[int, int]]:
    """First and past-the-last row group of each unit of a file."""
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path} is not a whole Parquet file ({error}). Download it again.") from None
    missing = [column for column in COLUMNS if column not in file.schema_arrow.names]
    if missing:
        raise DataError(f"{path} has no column {' and no '.join(missing)}. It is not of MNSC.")
    first, rows = 0, 0
    for group in range(file.num_row_groups):
        rows += file.metadata.row_group(group).num_rows
        if rows >= UNIT_ROWS or group + 1 == file.num_row_groups:
            yield first, group + 1
            first, rows = group + 1, 0
