"""The row that everything is trained on, and the Parquet shards that hold it (the paper's section 3.4).

A row is an audio context, an instruction and its answer, with where they come from. A corpus is a folder:

    train/*.parquet  dev/*.parquet  test/*.parquet   rows: `SCHEMA`
    index.parquet                                    who speaks in each row, and the sound's hash: `INDEX`
    card.md  report.json  build.yaml                 what it is, what was dropped, what made it
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from numpy.typing import NDArray

from training.data.files import written_whole
from training.errors import DataError

SAMPLE_RATE = 16_000  # Hz
LONGEST_SECONDS = 30.0  # one window of the encoder
ROW_GROUP_ROWS = 64  # what a reader takes at once: 64 x 30 s are about 35 MB of FLAC
SPLITS = ("train", "dev", "test")
TASKS = (
    "asr",
    "translation",
    "sqa",  # a question about what is said
    "sds",  # a spoken dialogue, summarised
    "summary",  # any other speech, summarised
    "gender",
    "accent",
    "instruction",  # what is to be done is spoken
    "speakers",  # how many there are
    "rate",  # how fast they speak
    "speech",  # whether anything is said
)

_FEATURES = {
    "context": {"sampling_rate": SAMPLE_RATE, "_type": "Audio"},
    **{name: {"dtype": "string", "_type": "Value"} for name in ("instruction", "answer", "task", "source")},
    "duration": {"dtype": "float64", "_type": "Value"},
    "id": {"dtype": "string", "_type": "Value"},
}
SCHEMA = pa.schema(
    [
        ("context", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("instruction", pa.string()),
        ("answer", pa.string()),
        ("task", pa.string()),
        ("source", pa.string()),
        ("duration", pa.float64()),
        ("id", pa.string()),
    ],
    # What `datasets` reads to know that `context` is sound.
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
)
"""context: {bytes: FLAC, 16-bit, mono, 16 kHz; path: "<id>.flac"}; duration in seconds."""

INDEX = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("task", pa.string()),
        ("source", pa.string()),
        ("duration", pa.float64()),
        ("audio_sha256", pa.string()),  # of the 16-bit samples, little-endian
        ("speakers", pa.list_(pa.string())),  # in order of first words: Speaker1, Speaker2; empty: unknown
        ("sexes", pa.list_(pa.string())),  # of the speakers: female, male, or "" where it is not known
        (
            "accents",
            pa.list_(pa.string()),
        ),  # of the speakers, as the corpus says: Chinese, Malay, Indian, ...
        ("text", pa.string()),  # what is said, without case and punctuation: for leak checks
    ]
)
"""What the rows do not carry and whoever makes more rows, or checks two corpora against each other, needs."""


def encode_flac(pcm: NDArray[np.int16]) -> bytes:
    """Samples (samples,) at 16 kHz as FLAC; the same samples give the same bytes."""
    sink = io.BytesIO()
    soundfile.write(sink, pcm, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return sink.getvalue()


def decode(context: bytes) -> NDArray[np.float32]:
    """The sound of a row, float32 (samples,), 16 kHz. Raises DataError where it is not as `SCHEMA` says."""
    try:
        sound, rate = soundfile.read(io.BytesIO(context), dtype="float32")
    except soundfile.LibsndfileError as error:
        raise DataError(f"A row's audio cannot be decoded ({error.error_string})") from None
    if rate != SAMPLE_RATE or sound.ndim != 1:
        channels = 1 if sound.ndim == 1 else sound.shape[1]
        raise DataError(
            f"A row's audio has {rate:,} Hz and {channels} channels; rows hold mono at 16,000 Hz."
        )
    samples: NDArray[np.float32] = sound
    return samples


def row(
    pcm: NDArray[np.int16], *, id: str, instruction: str, answer: str, task: str, source: str
) -> dict[str, Any]:
    """A row as `write_shard` takes it, from samples (samples,) at 16 kHz."""
    return {
        "context": {"bytes": encode_flac(pcm), "path": f"{id}.flac"},
        "instruction": instruction,
        "answer": answer,
        "task": task,
        "source": source,
        "duration": pcm.size / SAMPLE_RATE,
        "id": id,
    }


def write_shard(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write a whole shard or none and return its rows; the same rows give the same bytes.

    One row group is held in memory at a time. Raises DataError: a full disk, or rows that `validate` refuses.
    """
    written = 0
    with written_whole(path) as beside, _writer(beside, SCHEMA) as writer:
        for group in _groups(rows, ROW_GROUP_ROWS):
            table = pa.Table.from_pylist(group, SCHEMA)
            validate(table, str(path))
            writer.write_table(table)
            written += len(group)
    return written


def read_shard(path: Path) -> pa.Table:
    """A whole shard. Raises DataError where it is missing, broken, or of other columns."""
    return _read(path, SCHEMA)


def write_index(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a corpus' `index.parquet`. Raises DataError."""
    with written_whole(path) as beside, _writer(beside, INDEX) as writer:
        for group in _groups(rows, 16_384):
            writer.write_table(pa.Table.from_pylist(group, INDEX))


def read_index(corpus: Path) -> pa.Table:
    """A corpus' `index.parquet`. Raises DataError where there is none."""
    return _read(corpus / "index.parquet", INDEX)


def shards(corpus: Path, split: str) -> list[Path]:
    """A split's shards in their order; an empty list where the corpus has no such split."""
    return sorted((corpus / split).glob("*.parquet"))


def validate(table: pa.Table, where: str = "The table") -> None:
    """Raise DataError unless `table` holds rows as `SCHEMA` says them: tasks, lengths, ids, answers."""
    if not table.schema.equals(SCHEMA):
        raise DataError(f"{where} has other columns than rows have: {_columns(table.schema)}.")
    for row in table.select(["instruction", "answer", "task", "source", "duration", "id"]).to_pylist():
        fault = _fault(row)
        if fault:
            raise DataError(f"{where}: row {row['id']!r} {fault}.")
    paths = table["context"].combine_chunks().field("path").to_pylist()
    for id, path in zip(table["id"].to_pylist(), paths, strict=True):
        if path != f"{id}.flac":
            raise DataError(f"{where}: row {id!r} names its audio {path!r}, not '{id}.flac'.")


def _fault(row: Mapping[str, Any]) -> str:
    """What is wrong with a row's words and numbers; nothing: an empty string."""
    if not row["id"] or "/" in row["id"]:
        return "needs an id that a file can be named by"
    if row["task"] not in TASKS:
        return f"has the task {row['task']!r}; known are {', '.join(TASKS)}"
    empty = [name for name in ("instruction", "answer", "source") if not (row[name] or "").strip()]
    if empty:
        return f"has no {' and no '.join(empty)}"
    if row["duration"] is None or not 0 < row["duration"] <= LONGEST_SECONDS:
        return f"is {row['duration']} s long; rows are up to {LONGEST_SECONDS:g} s"
    return ""


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    # FLAC does not get smaller; texts do. Statistics and dictionaries of audio bytes are of no use.
    texts = [name for name in schema.names if name != "context"]
    compression = {"context.bytes": "none", "context.path": "zstd"} if "context" in schema.names else {}
    return pq.ParquetWriter(
        path,
        schema,
        compression=compression | dict.fromkeys(_leaves(schema, texts), "zstd"),
        use_dictionary=[name for name in ("task", "source", "instruction", "split") if name in schema.names],
        write_statistics=[name for name in ("id", "duration") if name in schema.names],
    )


def _leaves(schema: pa.Schema, names: Iterable[str]) -> list[str]:
    """Parquet's names of columns: those of lists go one level down."""
    return [f"{name}.list.element" if pa.types.is_list(schema.field(name).type) else name for name in names]


def _read(path: Path, schema: pa.Schema) -> pa.Table:
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise DataError(f"{path} is missing. Build the corpus again; what is finished is kept.") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path} is not a whole Parquet file ({error}). Delete it and build again.") from None
    if not table.schema.equals(schema):
        raise DataError(f"{path} has the columns {_columns(table.schema)}, not {_columns(schema)}.")
    return table


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)


def _groups(rows: Iterable[Mapping[str, Any]], size: int) -> Iterator[list[Mapping[str, Any]]]:
    waiting = iter(rows)
    while group := list(islice(waiting, size)):
        yield group
