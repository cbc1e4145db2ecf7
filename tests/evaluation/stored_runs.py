"""Stored answers of several systems, as `run` and `score` leave them, and a small registry they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluation.core import ANSWERS, RESULT, SCORES, Answer, Result, Score, written
from evaluation.metrics import intervals, wer
from evaluation.published import Figure
from evaluation.registry import Dataset, Fields

JUDGE = "casperhansen/llama-3-70b-instruct-awq at 127.0.0.1:8001"


@dataclass(frozen=True)
class Named:
    title: str
    end_to_end: bool = True


SYSTEMS = {"ours": Named("Ours"), "other": Named("Other"), "cascade": Named("Cascade", end_to_end=False)}


@dataclass
class Published:
    """Figures as evaluation.published has them; none unless given."""

    of_paper: Mapping[tuple[int, str, str], Figure] = field(default_factory=dict)
    of_logs: Mapping[tuple[int, str, str], Figure] = field(default_factory=dict)

    def paper(self) -> Mapping[tuple[int, str, str], Figure]:
        return self.of_paper

    def logs(self) -> Mapping[tuple[int, str, str], Figure]:
        return self.of_logs

    def systems(self) -> Mapping[str, Named]:
        return {}


def row(name: str, table: int, label: str, metric: str, **further: Any) -> Dataset:
    """A row of the registry."""
    filled: dict[str, Any] = {
        "task": "asr" if metric.startswith("wer") else "sqa",
        "scale": 5 if metric == "judge" else None,
        "tokenizer": "13a" if metric == "bleu" else "",
        "hub": "someone/something",
        "licence": "CC0 1.0",
    }
    if metric == "mmau":
        filled["fields"] = Fields(choices="choices", group="kind")
    return Dataset(
        id=name, title=name.capitalize(), table=table, row=label, metric=metric, **filled | further
    )


def registry(*rows: Dataset) -> dict[str, Dataset]:
    return {each.id: each for each in rows}


def result(system: str, row: Dataset, value: float, spread: float = 0.0, **further: Any) -> Result:
    """A result of a whole data set of 100 clips, its interval as wide on both sides."""
    filled: dict[str, Any] = {
        "low": value - spread,
        "high": value + spread,
        "n": 100,
        "answered": 100,
        "success_rate": 1.0,
        "scale": row.scale,
        "judge": JUDGE if row.metric == "judge" else "",
        "tokenizer": row.tokenizer,
        "made": "2026-03-01T12:00:00+00:00",
    }
    return Result(system, row.id, row.metric, value, **filled | further)


def store(runs: Path, outcome: Result, answers: Sequence[Answer], scores: Sequence[Score]) -> Path:
    """Write a run's folder. Returns it."""
    folder = runs / outcome.system / outcome.dataset
    folder.mkdir(parents=True)
    (folder / ANSWERS).write_bytes(b"".join(map(written, answers)))
    (folder / SCORES).write_bytes(b"".join(map(written, scores)))
    (folder / RESULT).write_bytes(written(outcome))
    return folder


def store_speech(runs: Path, system: str, row: Dataset, said: Mapping[str, tuple[str, str]]) -> Result:
    """Transcripts: by clip, reference and answer."""
    answers = [
        Answer(name, "Write it down.", "", expected, heard) for name, (expected, heard) in said.items()
    ]
    found = [wer.errors(each.reference, each.answer) for each in answers]
    scores = [
        Score(each.id, errors.edits / errors.words, detail=vars(errors))
        for each, errors in zip(answers, found, strict=True)
    ]
    edits, words = [each.edits for each in found], [each.words for each in found]
    low, high = intervals.of_rate(edits, words)
    value = sum(edits) / sum(words)
    outcome = result(system, row, value, low=low, high=high, n=len(answers), answered=len(answers))
    store(runs, outcome, answers, scores)
    return outcome


def store_judged(runs: Path, system: str, row: Dataset, said: Mapping[str, tuple[str, float]]) -> Result:
    """Answers by clip, each with its rating."""
    answers = [Answer(name, "Who speaks?", "", "A woman", answer) for name, (answer, _) in said.items()]
    scores = [
        Score(name, rating, detail={"reply": f"Explanation: because of {name}.\nRating: {rating:g}"})
        for name, (_, rating) in said.items()
    ]
    points = [100 * score.value / (row.scale or 1) for score in scores]
    low, high = intervals.of_mean(points)
    value = sum(points) / len(points)
    outcome = result(system, row, value, low=low, high=high, n=len(points), answered=len(points))
    store(runs, outcome, answers, scores)
    return outcome
