"""A tiny corpus in the hub's form: parquet files with real sound, written where a test wants them."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from pyarrow import parquet

from evaluation.registry import Dataset, Fields
from tests.speech import sample

CLIP = sample("sg-train")  # an MP3 of 18 s
AUDIO = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
ARRAY = pyarrow.struct(
    [
        ("path", pyarrow.string()),
        ("array", pyarrow.list_(pyarrow.float32())),
        ("sampling_rate", pyarrow.int64()),
    ]
)


def dataset(**values: Any) -> Dataset:
    """A data set of one's own: transcription, with each clip's own words as the question."""
    fields = Fields(**values.pop("fields", {}))
    known = {"id": "mine", "title": "Mine", "table": 0, "row": "Mine", "task": "asr", "metric": "wer"}
    return Dataset(**{**known, "licence": "CC0 1.0", "fields": fields, **values})


def row(**values: Any) -> dict[str, Any]:
    """A row of the hub's, with changes."""
    known = {
        "context": {"bytes": CLIP, "path": "a.mp3"},
        "instruction": "What is said?",
        "answer": "Attention",
    }
    return known | values


def write(path: Path, rows: list[dict[str, Any]], audio: Any = AUDIO, group: int | None = None) -> Path:
    """A parquet file of some rows, so many in a row group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = pyarrow.array([each["context"] for each in rows], audio)
    others = {name: [each[name] for each in rows] for name in rows[0] if name != "context"}
    parquet.write_table(pyarrow.table({"context": sound, **others}), path, row_group_size=group)
    return path


def tone(seconds: float, rate: int = 16_000) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A tone of 440 Hz, between -0.5 and 0.5."""
    time = np.arange(int(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)


def samples(data: bytes) -> tuple[int, np.ndarray[Any, np.dtype[np.int16]]]:
    """Rate and samples of a WAV file of one channel."""
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2")
