"""Answers to scores to a result: answers.jsonl (and judgements.jsonl) -> scores.jsonl, result.json.

Answers are taken in the order of their ids, so that a run that was disturbed ends with the very result of
one that was not. A failed clip counts as the worst; the value over the others stands beside it as
`without_failures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evaluation import folder as folders
from evaluation.core import ANSWERS, RESULT, SCORES, Answer, Result, kept, written
from evaluation.errors import RunError
from evaluation.registry import Dataset
from evaluation.scored import Scored, scored


def score(folder: Path, dataset: Dataset, *, judge: str = "", into: Path | None = None) -> Result:
    """Score the answers in a run's folder, and keep scores and result there, or in `into`. Raises
    EvaluationError.

    `judge` is a judge's id (model at host), needed where more than one has rated these answers.
    """
    answers = sorted(kept(folder / ANSWERS, Answer), key=lambda answer: answer.id)
    if not answers:
        raise RunError(f"{folder} holds no answers. `python -m evaluation run` asks for them.")
    found = scored(answers, dataset, folder, judge)
    result = _result(folder, dataset, answers, found, folders.read(folder))
    place = into or folder
    with folders.held(place):
        folders.replace(place / SCORES, b"".join(map(written, found.scores)))
        folders.replace(place / RESULT, written(result))
    return result


def _result(
    folder: Path, dataset: Dataset, answers: Sequence[Answer], found: Scored, run: Mapping[str, Any]
) -> Result:
    everyone = range(len(answers))
    well = [place for place in everyone if found.scores[place].ok]
    groups: dict[str, list[int]] = {}
    for place in sorted(everyone, key=lambda place: answers[place].group):
        groups.setdefault(answers[place].group, []).append(place)
    groups.pop("", None)
    low, high = found.interval
    return Result(
        system=folder.parent.name,
        dataset=dataset.id,
        metric=dataset.metric,
        value=found.over(everyone),
        low=low,
        high=high,
        n=len(answers),
        answered=sum(not answer.problem for answer in answers),
        success_rate=len(well) / len(answers),
        groups={name: found.over(places) for name, places in groups.items()},
        scale=dataset.scale,
        judge=found.judge,
        tokenizer=dataset.tokenizer,
        signature=found.made_by,
        audio_s=round(sum(answer.audio_s for answer in answers), 1),
        whole=_is_whole(dataset, len(answers), run),
        without_failures=found.over(well) if well else None,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _is_whole(dataset: Dataset, clips: int, run: Mapping[str, Any]) -> bool:
    """Whether these are all clips: as many as the corpus has, or, where none knows, all that a run found."""
    if run and (run.get("clips") != clips or run.get("limit") is not None):
        return False  # it was stopped or goes on, or was asked for a part
    return clips == dataset.n if dataset.n else bool(run)
