"""More questions about the clips of a synthetic corpus, which their voices answer: no new clip is needed."""

# ruff: noqa: S311 - no secrets are drawn

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from model.prompts import QUERIES
from training.config import load
from training.data.schema import read_index
from training.data.synthesise.cast import AnyVoice, Cast
from training.data.synthesise.config import Synthesis
from training.data.synthesise.corpus import BUILD
from training.data.synthesise.tasks import Asked, asked_of_voice
from training.errors import DataError

# Asked of a voice as the paper and the page do; a small model tells of it what it can.
OPEN = (QUERIES["speaker"], "Who is speaking? Describe each speaker's voice and accent.")
OPEN_OF = 3  # one in so many questions for man or woman is asked so


def more_questions(
    rows: Sequence[dict[str, Any]], corpus: Path, split: str, wanted: Mapping[str, int], seed: int
) -> list[dict[str, Any]]:
    """Rows about clips of `rows`, at most `wanted` of each task, each answer as often as the others.

    Raises DataError where the corpus was not made by `training.data.synthesise`.
    """
    if not wanted:
        return []
    by_answer: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row, asked in _possible(rows, corpus, split, seed):
        more = {"id": f"{clip_of(row)}-{asked.task}", "task": asked.task, "source": row["source"]}
        more |= {"instruction": _instruction(row, asked, seed), "answer": asked.answer}
        by_answer[asked.task][asked.answer].append({**row, **more})
    chance = Random(f"asking/{seed}")
    found = []
    for task, count in wanted.items():
        answers = by_answer[task]
        each = min(count // max(len(answers), 1), *map(len, answers.values())) if answers else 0
        for answer in sorted(answers):
            found += chance.sample(answers[answer], each)
    return found


def _possible(
    rows: Sequence[dict[str, Any]], corpus: Path, split: str, seed: int
) -> Iterator[tuple[dict[str, Any], Asked]]:
    """Each question that is not among `rows`, with a row about the same clip."""
    voices = voices_of(corpus, split)
    there = {row["id"] for row in rows}
    for clip, row in {clip_of(row): row for row in rows}.items():
        if clip not in voices:
            continue
        for asked in asked_of_voice(voices[clip], Random(f"asking/{seed}/{clip}")):
            if f"{clip}-{asked.task}" not in there:
                yield row, asked


def voices_of(corpus: Path, split: str) -> dict[str, AnyVoice]:
    """The voice of each clip of a split in which one speaks alone.

    Raises DataError where the corpus was not made by `training.data.synthesise`.
    """
    path = corpus / BUILD
    if not path.is_file():
        raise DataError(
            f"{corpus} has no {BUILD}, which says who speaks in it. "
            "Take `ask` and `voice_weight` out of the config."
        )
    voices = {voice.name: voice for voice in Cast.of(load(Synthesis, path, [f"out={corpus}"]), split).voices}
    alone = {
        clip_of(row): row["speakers"][0]
        for row in read_index(corpus).to_pylist()
        if row["split"] == split and len(row["speakers"]) == 1
    }
    return {clip: voices[name] for clip, name in alone.items() if name in voices}


def _instruction(row: Mapping[str, Any], asked: Asked, seed: int) -> str:
    chance = Random(f"asking/{seed}/{row['id']}/open")
    return (
        chance.choice(OPEN) if asked.task == "gender" and not chance.randrange(OPEN_OF) else asked.instruction
    )


def clip_of(row: Mapping[str, Any]) -> str:
    """The clip that a row of a corpus is about."""
    return str(row["id"]).rpartition("-")[0]
