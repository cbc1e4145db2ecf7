"""One unit of a source, cut, cleaned and encoded into a file of its own: the step that takes the time.

The file holds the rows, what the index needs, and in its footer the ledgers. It is written whole or not at
all, and its name carries a hash of everything it depends on, so a unit that has its file is done.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from training.data import audio, cleaning, schema
from training.data.clips import Clip, Unit
from training.data.files import written_whole
from training.data.hearing import Ear
from training.data.ledger import Ledger, Rejected
from training.data.nsc import speakers
from training.data.readers import READERS
from training.data.settings import Preparation
from training.data.tags import words

VERSION = 1  # of what a unit's file holds: a change here makes all of them anew
LEDGERS = b"ledgers"
KEYS = ("audio_sha256", "speakers", "sexes", "accents", "text")
CUT = pa.schema(
    [
        *schema.SCHEMA,
        *(schema.INDEX.field(name) for name in KEYS),
        ("wanted_split", pa.string()),  # where the corpus itself has decided
        ("bytes", pa.int64()),
    ]
)


def fingerprint(build: Preparation, unit: Unit) -> str:
    """A hash of what a unit's file depends on: settings, the unit, and the state of what it is read from."""
    source = build.sources[unit.source]
    settings = [asdict(source) | {"licence": ""}, asdict(build.rules), build.instructions]
    heard = build.rules.hearing.file if build.rules.hearing else None
    beside = [path for path in (speakers.table_of(source), heard) if path]
    states = [state(path) for path in (*map(Path, unit.files), *beside)]
    whole = json.dumps([VERSION, settings, unit.plain(), states], sort_keys=True, default=str)
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def cut(build: Preparation, unit: Unit, file: Path) -> None:
    """Write a unit's rows into `file`. Raises DataError: a full disk, an endpoint that does not answer."""
    heard, rows = Ledger(), Ledger()
    waiting = _rows(build, unit, file.with_suffix(".heard"), heard, rows)
    with written_whole(file) as beside, pq.ParquetWriter(beside, CUT, compression="none") as writer:
        while group := list(islice(waiting, schema.ROW_GROUP_ROWS)):
            writer.write_table(pa.Table.from_pylist(group, CUT))
        if not heard.balanced or not rows.balanced:
            raise AssertionError(f"{unit.name}: the ledgers do not add up: {heard}, {rows}")
        ledgers = json.dumps([heard.plain(), rows.plain()])
        writer.add_key_value_metadata({LEDGERS: ledgers})


def ledgers(file: Path) -> tuple[Ledger, Ledger]:
    """A unit's utterances and rows."""
    heard, rows = json.loads(pq.read_metadata(file).metadata[LEDGERS])
    return Ledger.of(heard), Ledger.of(rows)


def _rows(
    build: Preparation, unit: Unit, diary: Path, heard: Ledger, rows: Ledger
) -> Iterator[dict[str, Any]]:
    source = build.sources[unit.source]
    clips = READERS[source.corpus].clips(source, unit, build.rules, heard, rows)
    ear = Ear(build.rules.hearing, diary) if build.rules.hearing else None
    clean = _clean(build, clips, rows)
    while group := list(islice(clean, schema.ROW_GROUP_ROWS)):
        for clip in ear.check(group, rows) if ear else group:
            rows.keep()
            yield _row(clip, source.label, build.instructions)


def _clean(build: Preparation, clips: Iterator[Clip], rows: Ledger) -> Iterator[Clip]:
    for clip in clips:
        try:
            cleaning.check(clip, build.rules)
        except Rejected as error:
            rows.drop(error.rule, error.why)
            continue
        yield clip


def _row(clip: Clip, source: str, instructions: Sequence[str]) -> dict[str, Any]:
    choice = int.from_bytes(hashlib.sha256(clip.id.encode()).digest()[:8], "big") % len(instructions)
    row = schema.row(
        clip.pcm,
        id=clip.id,
        instruction=clip.instruction or instructions[choice],
        answer=clip.answer or clip.text,
        task=clip.task,
        source=source,
    )
    return row | {
        "audio_sha256": audio.sha256(clip.pcm),
        "speakers": [speaker.name for speaker in clip.speakers],
        "sexes": [speaker.sex for speaker in clip.speakers],
        "accents": [speaker.accent for speaker in clip.speakers],
        "text": " ".join(words(clip.text)),
        "wanted_split": clip.split,
        "bytes": len(row["context"]["bytes"]),
    }


def state(path: Path) -> list[Any]:
    """What tells whether a file, or anything in a folder, has changed."""
    if path.is_dir():
        return [[str(inside), *state(inside)] for inside in sorted(path.rglob("*")) if inside.is_file()]
    try:
        found = path.stat()
    except OSError:
        return ["missing"]
    return [found.st_size, found.st_mtime_ns]
