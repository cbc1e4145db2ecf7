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
from training.data.synthesise.reading.sources import SOURCES, digest
from training.data.synthesise.texts.draw import READING
from training.errors import DataError

BUILD = "build.yaml"
PARTS = "parts"  # a shard's piece of the index, until all are there
MADE_BY_CHANCE = ("processes", "out")  # settings that do not decide what is made

CARD = """# {source}: synthetic speech

Nobody was recorded. Machines read texts that were drawn from templates of this project
(`training/data/synthesise/texts`, Apache-2.0), whose answers are known because the texts are made of
them{reading}.

| split | rows | clips | hours | voices |
|---|---|---|---|---|
{splits}

| task | {names} |
|---|{lines}
{tasks}

- Engines, by weight: {engines}. Kokoro-82M (int8 ONNX, Apache-2.0); Piper's "joe" (data CC0); Flite (BSD);
  Festival (BSD-like); eSpeak NG (GPL-3, a program that was run).
- Voices: of Kokoro {voices} blends of its voices, less eight of them, in train; dev and test are read by
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
    """The report is written last, and then the parts are not needed any more."""
    return (out / "report.json").exists() and not (out / PARTS).exists()


def begin(config: Synthesis) -> None:
    """Open the corpus' folder.

    Raises DataError where another config made what is in it, or where packages hold other texts by now.
    """
    path = config.out / BUILD
    text = _decisive(dump(config))
    if not path.exists():
        write_text(path, text)
    elif path.read_text("utf-8") != text:
        raise DataError(
            f"{config.out} was made by another config, which its build.yaml holds. "
            "Choose another `out`, or delete that folder."
        )
    if config.kinds.get(READING):
        _check_texts(config)


def finish(config: Synthesis) -> dict[str, Any]:
    """Write index, card and report once every shard is there; the report."""
    if not is_finished(config.out):
        describe(config)
        shutil.rmtree(config.out / PARTS, ignore_errors=True)
    found: dict[str, Any] = json.loads((config.out / "report.json").read_text("utf-8"))
    return found


def describe(config: Synthesis) -> dict[str, Any]:
    """Write index, card and report of the shards that are there, while others may still be made; the report.

    Raises DataError where there is none.
    """
    out = config.out
    parts = [path for split in SPLITS for path in sorted((out / PARTS).glob(f"{split}-*.parquet"))]
    if not parts:
        raise DataError(f"{out} holds no finished shard that waits to be indexed. Build it first.")
    index = pa.concat_tables(pq.read_table(path) for path in parts)
    write_index(out / "index.parquet", index.to_pylist())
    report = _report(index)
    write_text(out / "card.md", _card(config, report))
    write_text(out / "report.json", json.dumps(report, indent=1) + "\n")
    return report


def _check_texts(config: Synthesis) -> None:
    """Another version of a package would say other sentences in the same clips."""
    path = config.out / "texts.json"
    found = {name: digest(name) for name, weight in sorted(config.reading.items()) if weight}
    if not path.exists():
        write_text(path, json.dumps(found, indent=1) + "\n")
    elif other := [
        name for name, known in json.loads(path.read_text("utf-8")).items() if found[name] != known
    ]:
        raise DataError(
            f"{SOURCES[other[0]].package} holds other texts than when {config.out} was begun. "
            "Install the version that it had then, or choose another `out`."
        )


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
        engines=", ".join(f"{engine} {weight:g}" for engine, weight in config.engines.items()),
        reading="; and what others wrote: "
        + ", ".join(f"{SOURCES[name].package} ({SOURCES[name].licence})" for name in config.reading)
        if config.kinds.get(READING)
        else "",
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
