"""Small corpora of noise, written as real ones are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.data.schema import SAMPLE_RATE, row, write_index, write_shard

Told = Mapping[str, Any]


def write_corpus(folder: Path, shards: Sequence[Sequence[Told]], split: str = "train") -> Path:
    """Shards of rows: each `id` with what differs from an ASR row of 50 ms."""
    index = []
    for number, rows in enumerate(shards):
        made = [_row(**told) for told in rows]
        write_shard(folder / split / f"{number:05}.parquet", (row for row, _ in made))
        index += [entry | {"split": split} for _, entry in made]
    write_index(folder / "index.parquet", index)
    return folder


def numbered(name: str, count: int, task: str = "asr", seconds: float = 0.05) -> list[dict[str, Any]]:
    """Rows with ids NAME-0, NAME-1, ..."""
    return [{"id": f"{name}-{number}", "task": task, "seconds": seconds} for number in range(count)]


def _row(
    id: str,
    task: str = "asr",
    answer: str = "Good morning.",
    seconds: float = 0.05,
    sexes: Sequence[str] = (),
    accents: Sequence[str] = (),
) -> tuple[dict[str, Any], dict[str, Any]]:
    seed = int.from_bytes(hashlib.sha256(id.encode()).digest()[:8], "big")
    pcm = np.random.default_rng(seed).integers(-3000, 3000, round(seconds * SAMPLE_RATE)).astype(np.int16)
    made = row(pcm, id=id, instruction="Please transcribe.", answer=answer, task=task, source="small")
    entry = {name: made[name] for name in ("id", "task", "source", "duration")} | {
        "audio_sha256": hashlib.sha256(pcm.tobytes()).hexdigest(),
        "speakers": [f"{id}-{number}" for number in range(len(sexes))],
        "sexes": list(sexes),
        "accents": list(accents) or ["" for _ in sexes],
        "text": answer.lower(),
    }
    return made, entry
