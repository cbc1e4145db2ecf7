"""A system's answers to a bundled data set as figures in per cent, each with its clips and interval."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from evaluation.core import Answer, Result
from evaluation.metrics import intervals
from evaluation.registry import Dataset
from samples import wer as ours

OWN = ":own"  # ends the id of a measure by the samples' own normaliser
_CANNOT = re.compile(
    r"\W*(?:sorry,? (?:but )?)?i (?:cannot|can't|can not|am not able|am unable|'m unable)\b", re.I
)


@dataclass(frozen=True)
class Measure:
    """A line of the table."""

    id: str  # the data set's, or that with OWN
    title: str
    lower_is_better: bool
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A cell of the table, in per cent."""

    system: str
    measure: str
    value: float
    low: float  # the 95 % interval by bootstrap over clips
    high: float
    n: int  # clips
    answered: int
    cannot: int = 0  # answers that say so; they count as not right
    groups: Mapping[str, float] = field(default_factory=dict)


def measures(datasets: Sequence[Dataset]) -> list[Measure]:
    """The lines for these data sets: word errors by AudioBench's normaliser, by our own, then the rest."""
    own = [
        Measure(f"{one.id}{OWN}", f"{one.row}, the samples' own normaliser: {one.title}", True)
        for one in datasets
        if _has_own(one)
    ]
    others = [Measure(one.id, f"{one.row}: {one.title}", one.metric == "wer", one.note) for one in datasets]
    words = [one for one in others if one.lower_is_better]
    return [*words, *own, *(one for one in others if not one.lower_is_better)]


def of(result: Result, dataset: Dataset, answers: Sequence[Answer]) -> Iterator[Figure]:
    """The figures of one run."""
    unit = 100.0 if dataset.metric == "wer" else 1.0
    yield Figure(
        result.system,
        dataset.id,
        round(unit * result.value, 2),
        round(unit * result.low, 2),
        round(unit * result.high, 2),
        n=result.n,
        answered=result.answered,
        cannot=sum(bool(_CANNOT.match(one.answer)) for one in answers),
        groups={name: round(unit * value, 2) for name, value in result.groups.items()},
    )
    if _has_own(dataset):
        yield _own(result, dataset, answers)


def _has_own(dataset: Dataset) -> bool:
    return dataset.data_dir == "samples" and dataset.task == "asr"


def _own(result: Result, dataset: Dataset, answers: Sequence[Answer]) -> Figure:
    """Word errors as samples/QUALITY.md counts them: numbers by the digit, "take away" as "takeaway"."""
    in_order = sorted(answers, key=lambda one: one.id)  # as the interval's draws depend on it
    counted = [ours.errors(ours.align(one.reference, one.scored)) for one in in_order]
    edits, words = [edits for edits, _ in counted], [words for _, words in counted]
    low, high = intervals.of_rate(edits, words)
    value = sum(edits) / max(1, sum(words))
    return Figure(
        result.system,
        f"{dataset.id}{OWN}",
        round(100 * value, 2),
        round(100 * low, 2),
        round(100 * high, 2),
        n=result.n,
        answered=result.answered,
    )
