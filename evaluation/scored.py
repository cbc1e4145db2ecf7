"""The metrics over a run's answers, as a table: each scores every clip, and sums up any of them.

A clip that failed counts as the worst: all its words deleted, an empty translation, a rating of 0, wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evaluation.core import Answer, Score
from evaluation.errors import MetricError
from evaluation.judgements import Judgement, needs_judge, of, said_by, the_one_judge
from evaluation.metrics import bleu, contains, intervals, mmau, wer
from evaluation.registry import Dataset

Subset = Sequence[int]  # places of clips
Answers = Sequence[Answer]


@dataclass(frozen=True)
class Scored:
    """A data set's clips, scored."""

    scores: Sequence[Score]
    over: Callable[[Subset], float]  # the value over some of the clips
    interval: tuple[float, float]  # of the value over all
    made_by: str  # what computed it, with versions
    judge: str = ""


def scored(answers: Answers, dataset: Dataset, folder: Path, judge: str = "") -> Scored:
    """Score all answers by the data set's metric; `folder` holds what judges said. Raises EvaluationError."""
    return METRICS[dataset.metric](answers, dataset, folder, judge)


def _word_errors(answers: Answers, dataset: Dataset, *_: Any) -> Scored:
    part4 = dataset.metric == "wer_part4"
    found = [_errors(answer, part4) for answer in answers]
    return Scored(
        [_score(one, each.edits / each.words, vars(each)) for one, each in zip(answers, found, strict=True)],
        lambda places: wer.corpus([found[place] for place in places]),
        intervals.of_rate([one.edits for one in found], [one.words for one in found]),
        f"jiwer {version('jiwer')}; normaliser of openai-whisper {version('openai-whisper')} and AudioBench",
    )


def _errors(answer: Answer, part4: bool) -> wer.WordErrors:
    """An empty answer goes the way of all others, the word "empty"; without an answer every word was
    deleted.
    """
    if not answer.problem:
        return wer.errors(answer.reference, answer.scored, part4)
    lost = wer.errors(answer.reference, "", part4).words
    return wer.WordErrors(edits=lost, words=lost, substitutions=0, deletions=lost, insertions=0)


def _translations(answers: Answers, dataset: Dataset, *_: Any) -> Scored:
    counter = bleu.Counter(dataset.tokenizer)
    said = ["" if answer.problem else answer.scored for answer in answers]
    counts = bleu.counted([answer.reference for answer in answers], said, counter)
    return Scored(
        [_score(answer, 0.0) for answer in answers],
        lambda places: counter.score(counts[list(places)].sum(axis=0).tolist()),
        intervals.of_counts(counts, counter),
        counter.signature,
    )


def _string_match(answers: Answers, *_: Any) -> Scored:
    right = _right(answers, lambda one: mmau.is_right(one.reference, one.choices, one.scored))
    return _mean(right, 1, "MMAU's string match, four characters cut as AudioBench cuts them")


def _accepted(answers: Answers, *_: Any) -> Scored:
    def is_right(one: Answer) -> bool:
        return contains.is_right(one.choices or (one.reference,), one.rejected, one.scored)

    return _mean(_right(answers, is_right), 1, "an accepted phrase stands in the answer, and no rejected one")


def _right(answers: Answers, is_right: Callable[[Answer], bool]) -> list[Score]:
    """An answer without words is wrong, whatever is accepted."""
    return [
        _score(one, float(not one.problem and bool(one.scored.strip()) and is_right(one))) for one in answers
    ]


def _judged(answers: Answers, dataset: Dataset, folder: Path, judge: str) -> Scored:
    """An empty answer is rated 0 without asking; one that nobody has rated yet stops the scoring."""
    scale = dataset.scale
    assert scale is not None  # the registry sees to it
    to_judge = [answer for answer in answers if needs_judge(answer)]
    judge, prompt = the_one_judge(folder, scale, judge) if to_judge else (judge, "")
    said = said_by(folder, judge, prompt, scale)
    missing = [one for one in to_judge if (one.id, of(one)) not in said]
    if missing:
        raise MetricError(
            f"{len(missing):,} of {len(answers):,} answers in {folder} are not rated yet. Give the command "
            "again with --judge to go on."
        )
    scores = [_rated(one, said.get((one.id, of(one)))) for one in answers]
    return _mean(scores, scale, f"judge's prompt {prompt}, scale 0 to {scale}", judge)


def _rated(answer: Answer, said: Judgement | None) -> Score:
    if said is None:
        return _score(
            answer, 0.0, {} if answer.problem else {"reply": "The answer is empty: 0 without asking a judge."}
        )
    detail = {"reply": said.reply, "replies": len(said.replies), "judge_problem": said.problem}
    if said.shortened:
        detail["shortened"] = f"The judge did not see the last {said.shortened:,} characters."
    return _score(answer, said.rating or 0.0, detail, ok=said.rating is not None)


def _score(answer: Answer, value: float, detail: Mapping[str, Any] | None = None, ok: bool = True) -> Score:
    failed = {"problem": answer.problem} if answer.problem else {}
    return Score(answer.id, value, ok and not answer.problem, answer.group, {**(detail or {}), **failed})


def _mean(scores: list[Score], scale: int, made_by: str, judge: str = "") -> Scored:
    """From 0 to 100."""
    points = [score.value * 100 / scale for score in scores]
    return Scored(
        scores,
        lambda places: sum(points[place] for place in places) / len(places),
        intervals.of_mean(points),
        made_by,
        judge,
    )


METRICS: Mapping[str, Callable[[Answers, Dataset, Path, str], Scored]] = {
    "wer": _word_errors,
    "wer_part4": _word_errors,
    "bleu": _translations,
    "judge": _judged,
    "mmau": _string_match,
    "contains": _accepted,
}
