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
from evaluation.bundled.house import MINI_ID, House
from evaluation.core import ANSWERS, Answer, kept
from evaluation.errors import DataError
from evaluation.registry import Dataset
from evaluation.systems import System, chosen


@dataclass
class Measured:
    """All that was measured in one go."""

    systems: dict[str, str] = field(default_factory=dict)  # titles by id
    datasets: list[Dataset] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    answers: dict[str, list[tuple[Dataset, Answer]]] = field(default_factory=dict)  # by system
    left_out: dict[str, str] = field(default_factory=dict)  # what is not in the table, and why


def rows(house: House, known: Mapping[str, System]) -> list[System]:
    """The rows of systems.toml for what is up there, asked one question at a time.

    One at a time, since what is decoded side by side is not the same to the last bit. The two of the embedded
    engine hear the whole clip when they are asked a question, as visitors do, and not its first 30 s.
    """
    found = []
    for row in chosen(list(house.models), known):
        here = {"base_url": house.base_url, "model": row.id, "concurrency": 1}
        found.append(row.model_copy(update=here if row.id == MINI_ID else here | {"head_s": 0.0}))
    return found


def measure(
    systems: Sequence[System],
    datasets: Sequence[Dataset],
    out: Path,
    tell: Callable[[str], None],
    limit: int | None,
) -> Measured:
    """Ask and score; answers are kept below `out`. Raises EvaluationError."""
    measured = Measured()
    for dataset in datasets:
        try:
            clips = list(islice(sets.examples(dataset), limit))
        except DataError as why:
            measured.left_out[f"{dataset.row}: {dataset.title}"] = str(why)
            continue
        measured.datasets.append(dataset)
        for system in systems:
            began = time.monotonic()
            tally = runner.run(system, dataset, clips, out, limit=limit, concurrency=1)
            answers = list(kept(tally.folder / ANSWERS, Answer))
            result = scoring.score(tally.folder, dataset)
            measured.systems[system.id] = system.title
            measured.figures += figures.of(result, dataset, answers)
            measured.answers.setdefault(system.id, []).extend((dataset, one) for one in answers)
            how = tally.words.partition(": ")[2]
            tell(f"{system.title}, {dataset.id}: {how} {time.monotonic() - began:.0f} s")
    return measured
