"""Every system asked about every bundled data set, one question after the other, and scored."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from evaluation import runner, scoring
from evaluation.bundled import figures, sets
from evaluation.bundled.figures import Figure
from evaluation.bundled.house import House
from evaluation.core import ANSWERS, Answer, kept
from evaluation.errors import DataError
from evaluation.registry import Dataset
from evaluation.systems import System, chosen


@dataclass
class Measured:
    """All that was measured in one go."""

    systems: dict[str, str] = field(default_factory=dict)  # titles by id
    datasets: list[Dataset] = field(default_factory=list)
    clips: dict[str, int] = field(default_factory=dict)  # by data set
    figures: list[Figure] = field(default_factory=list)
    not_offered: dict[str, list[str]] = field(default_factory=dict)  # data sets by system: it was not asked
    answers: dict[str, list[tuple[Dataset, Answer]]] = field(default_factory=dict)  # by system
    left_out: dict[str, str] = field(default_factory=dict)  # what is not in the table, and why


def rows(house: House, known: Mapping[str, System]) -> list[System]:
    """The rows of systems.toml for what is up there, asked one question at a time.

    One at a time, since what is decoded side by side is not the same to the last bit. They hear the whole
    clip when they are asked a question, as visitors have it, and not its first 30 s.
    """
    here = {"base_url": house.base_url, "concurrency": 1, "head_s": 0.0}
    return [row.model_copy(update=here | {"model": row.id}) for row in chosen(list(house.offered), known)]


def measure(
    systems: Sequence[System],
    datasets: Sequence[Dataset],
    out: Path,
    tell: Callable[[str], None],
    limit: int | None,
    offers: Callable[[str, str], bool],
) -> Measured:
    """Ask what a system `offers`, and score; answers are kept below `out`. Raises EvaluationError."""
    measured = Measured()
    for dataset in datasets:
        try:
            clips = list(islice(sets.examples(dataset), limit))
        except DataError as why:
            measured.left_out[f"{dataset.row}: {dataset.title}"] = str(why)
            continue
        measured.datasets.append(dataset)
        measured.clips[dataset.id] = len(clips)
        for system in systems:
            measured.systems[system.id] = system.title
            if not offers(system.id, dataset.task):
                measured.not_offered.setdefault(system.id, []).append(dataset.id)
                continue
            began = time.monotonic()
            tally = runner.run(system, dataset, clips, out, limit=limit, concurrency=1)
            answers = list(kept(tally.folder / ANSWERS, Answer))
            result = scoring.score(tally.folder, dataset)
            measured.figures += figures.of(result, dataset, answers)
            measured.answers.setdefault(system.id, []).extend((dataset, one) for one in answers)
            how = tally.words.partition(": ")[2]
            tell(f"{system.title}, {dataset.id}: {how} {time.monotonic() - began:.0f} s")
    return measured
