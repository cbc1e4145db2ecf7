"""What a corpus folder holds besides its rows: the config that made it, index, report and card."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from training.config import dump
from training.data.files import write_text
from training.data.schema import SPLITS, write_index
from training.data.synthesise.config import Synthesis
from training.errors import DataError

PARTS = "parts"  # a shard's piece of the index, until all are there
MADE_BY_CHANCE = ("processes", "out")  # settings that do not decide what is made

CARD = """# {source}: synthetic speech

Nobody was recorded. Kokoro-82M (int8 ONNX, Apache-2.0) read texts that were drawn from templates of this
project (`training/data/synthesise/texts`, Apache-2.0); answers are known because the texts are made of them.

| split | rows | clips | hours | voices |
|---|---|---|---|---|
{splits}

| task | {names} |
|---|{lines}
{tasks}

- Voices: training clips are read by {voices} blends of Kokoro's voices, less eight of them; dev and test by
  four of those eight each, two women's and two men's.
- Texts: a sentence belongs to one split by its hash, so none is in two.
- Sound: {augment}
- What it is not: people. No accent of Singapore is in these voices, though its words are in the texts; nobody
  interrupts or hesitates. Judge a model that was trained on it by recordings of people.
- Made by `python -m training.data.synthesise --config build.yaml --set out=DIR`; the same config gives the
  same bytes.
"""


def part(out: Path, split: str, number: int) -> Path:
    """A shard's piece of the index."""
    return out / PARTS / f"{split}-{number:05}.parquet"


def plain(words: str) -> str:
    """Without case and punctuation."""
    return " ".join(re.findall(r"[\w']+", words.lower()))


def is_finished(out: Path) -> bool:
    """The report is written last."""
    return (out / "report.json").exists()


def begin(config: Synthesis) -> None:
    """Open the corpus' folder. Raises DataError where another config made what is in it."""
    path = config.out / "build.yaml"
    text = _decisive(dump(config))
    if not path.exists():
        write_text(path, text)
    elif path.read_text("utf-8") != text:
        raise DataError(
            f"{config.out} was made by another config, which its build.yaml holds. "
            "Choose another `out`, or delete that folder."
        )


def finish(config: Synthesis) -> dict[str, Any]:
    """Write index, card and report once every shard is there; the report."""
    out = config.out
    if not is_finished(out):
        index = pa.concat_tables(
            pq.read_table(path)
            for split in SPLITS
            for path in sorted((out / PARTS).glob(f"{split}-*.parquet"))
        )
        write_index(out / "index.parquet", index.to_pylist())
        report = _report(index)
        write_text(out / "card.md", _card(config, report))
        write_text(out / "report.json", json.dumps(report, indent=1) + "\n")
    shutil.rmtree(out / PARTS, ignore_errors=True)
    found: dict[str, Any] = json.loads((out / "report.json").read_text("utf-8"))
    return found


def _decisive(text: str) -> str:
    """A config without what may differ from one run to the next."""
    return "".join(line for line in text.splitlines(True) if line.partition(":")[0] not in MADE_BY_CHANCE)


def _report(index: pa.Table) -> dict[str, Any]:
    rows = index.to_pylist()
    return {
        "total": _figures(rows),
        "splits": {split: _figures([row for row in rows if row["split"] == split]) for split in SPLITS},
    }


def _figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    clips = {row["audio_sha256"]: row["duration"] for row in rows}
    tasks: dict[str, int] = {}
    for row in rows:
        tasks[row["task"]] = tasks.get(row["task"], 0) + 1
    return {
        "rows": len(rows),
        "clips": len(clips),
        "hours": round(sum(clips.values()) / 3600, 3),
        "voices": len({speaker for row in rows for speaker in row["speakers"]}),
        "tasks": dict(sorted(tasks.items())),
    }


def _card(config: Synthesis, report: dict[str, Any]) -> str:
    splits = report["splits"]
    tasks = report["total"]["tasks"]
    return CARD.format(
        source=config.source,
        voices=config.voices,
        augment="clean."
        if config.augment is None
        else "clean in dev and test; in train with the noise, rooms and telephones that build.yaml names.",
        splits="\n".join(
            f"| {split} | {of['rows']:,} | {of['clips']:,} | {of['hours']} | {of['voices']} |"
            for split, of in splits.items()
        ),
        names=" | ".join(splits),
        lines="---|" * len(splits),
        tasks="\n".join(
            f"| {task} | " + " | ".join(f"{of['tasks'].get(task, 0):,}" for of in splits.values()) + " |"
            for task in tasks
        ),
    )
