"""What the page shows of every clip: a script a data set, which it loads when it is asked for.

A page opened from a folder may load scripts and nothing else, so the data is `Clips.load(id, {...})`. A
clip is there once, with an answer of every system that was asked; what is empty is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer

from evaluation.core import ANSWERS, SCORES, Answer, Result, Score, kept
from evaluation.errors import RunError
from evaluation.metrics import normaliser
from evaluation.registry import Dataset
from evaluation.report.clip_sounds import Addresses
from evaluation.report.line_types import mistyped

MEANINGS = {  # of right and wrong, by metric
    "wer": "Right: no word is wrong, missing or added. The score is the share of wrong words.",
    "bleu": "BLEU is worked out over all clips together, so a single answer is not right or wrong.",
    "judge": "Right: the judge gave full marks. Anything less is wrong.",
    "mmau": "Right: all words of the right choice are in the answer, and none that only wrong choices have.",
    "contains": "Right: an accepted phrase is in the answer, and no rejected one.",
}
FAILED = "Failed: no answer, or no rating that could be read; it counts as wrong."
_NAMES = {
    "edits": "Wrong words",
    "words": "Words in the reference",
    "substitutions": "Replaced",
    "deletions": "Missing",
    "insertions": "Added",
    "replies": "Replies of the judge",
    "judge_problem": "The judge",
    "shortened": "Shortened",
}
_OPERATIONS = {"equal": "=", "substitute": "~", "delete": "-", "insert": "+"}
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Run:
    """One system on one data set, clip by clip."""

    result: Result
    answers: Mapping[str, Answer]
    scores: Mapping[str, Score]


def read(result: Result, folder: Path, dataset: Dataset) -> Run:
    """The answers and scores behind a result. Raises RunError.

    Data sets of the same questions share their answers.
    """
    asked = folder if (folder / ANSWERS).exists() else folder.parent / (dataset.same_answers_as or dataset.id)
    answers = {line.id: line for line in kept(asked / ANSWERS, Answer)}
    scores = {line.id: line for line in kept(folder / SCORES, Score)}
    for path, lines in ((asked / ANSWERS, answers), (folder / SCORES, scores)):
        for line in lines.values():
            if wrong := mistyped(line):
                raise RunError(f"{path}: `{wrong}` of clip {line.id!r} cannot be. Score the run again.")
    return Run(result, answers, scores)


def script(dataset: Dataset, runs: Sequence[Run], sounds: Addresses) -> str:
    """The file of a data set."""
    ids = sorted({name for run in runs for name in run.answers}, key=_natural)
    clips = [_clip(dataset, name, runs, sounds) for name in ids]
    answers = {
        run.result.system: [
            _answer(dataset, run.answers[name], run.scores.get(name), clip) if name in run.answers else None
            for name, clip in zip(ids, clips, strict=True)
        ]
        for run in runs
    }
    return call("load", dataset.id, {"clips": clips, "answers": answers})


def listed(dataset: Dataset, runs: Sequence[Run], titles: Mapping[str, str], file: str) -> dict[str, Any]:
    """What the page must know of a data set before its clips are loaded."""
    family = "wer" if dataset.metric == "wer_part4" else dataset.metric
    states = ["answered", "failed"] if family == "bleu" else ["right", "wrong", "failed"]
    systems = [
        {"id": run.result.system, "title": titles.get(run.result.system, run.result.system)} for run in runs
    ]
    return {
        "id": dataset.id,
        "title": f"{dataset.title} ({dataset.id})",
        "file": file,
        "meaning": f"{MEANINGS[family]} {FAILED}",
        "states": states,
        "systems": systems,
    }


def call(function: str, *arguments: object) -> str:
    """A line of JavaScript. No text in it can end a script or a line."""
    text = ", ".join(json.dumps(each, ensure_ascii=False, allow_nan=False) for each in arguments)
    text = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return f"Clips.{function}({text});\n"


def _clip(dataset: Dataset, name: str, runs: Sequence[Run], sounds: Addresses) -> dict[str, Any]:
    first = next(run.answers[name] for run in runs if name in run.answers)
    question = first.question if first.question != first.instruction else ""
    accepts = dataset.metric == "contains"
    return {
        "id": name,
        "instruction": first.instruction,
        "reference": first.reference,
        **_filled(
            question=question,
            group=first.group,
            accepted="\n".join(first.choices) if accepts else "",
            rejected="\n".join(first.rejected) if accepts else "",
            sound=sounds.get(name, ""),
        ),
    }


def _answer(dataset: Dataset, answer: Answer, score: Score | None, clip: Mapping[str, Any]) -> dict[str, Any]:
    state, label, loss = _judged(dataset, answer, score)
    has_errors = dataset.metric.startswith("wer") and state == "wrong"
    detail = {name: value for name, value in (score.detail if score else {}).items() if name != "problem"}
    found = _filled(
        loss=loss,
        problem=answer.problem,
        instruction=answer.instruction if answer.instruction != clip["instruction"] else "",
        reference=answer.reference if answer.reference != clip["reference"] else "",
        words=compared(answer.reference, answer.scored, dataset.metric == "wer_part4")
        if has_errors
        else None,
        reason=detail.pop("reply", ""),
        heard=answer.heard,
        audio_s=answer.audio_s,
        first_token_s=answer.first_token_s,
        total_s=answer.total_s,
        tokens=answer.tokens,
        tries=answer.tries if answer.tries > 1 else 0,
        finish=answer.finish,
        cache=answer.cache,
        more=[[_NAMES.get(name, name), _short(value)] for name, value in detail.items() if value],
    )
    if answer.counted is not None:
        found["counted"] = answer.counted
    if label != state.capitalize():
        found["label"] = label
    return {"state": state, "answer": answer.answer, **found}


def _judged(dataset: Dataset, answer: Answer, score: Score | None) -> tuple[str, str, float]:
    """State, words for it, and how far it is from right."""
    if answer.problem:
        return "failed", "No answer", 0.0
    if score is None:
        return "answered", "Not scored", 0.0
    if not score.ok:
        return "failed", "No rating" if dataset.metric == "judge" else "Failed", 0.0
    if dataset.metric == "bleu":
        return "answered", "Answered", 0.0
    if dataset.metric.startswith("wer"):
        state = "right" if score.value == 0 else "wrong"
        return state, "Right" if state == "right" else f"WER {score.value:.0%}", score.value
    full = float(dataset.scale or 1)
    state = "right" if score.value >= full else "wrong"
    label = f"{score.value:g} of {full:g}" if full > 1 else state.capitalize()
    return state, label, full - score.value


def compared(reference: str, answer: str, part4: bool) -> list[list[str]]:
    """Which words are as expected (=), others (~), missing (-) or added (+), after normalising, as scored.

    Each piece is the kind, the words of the reference, and those of the answer.
    """
    normalise = normaliser.part4 if part4 else normaliser.standard
    found = jiwer.process_words(normalise(reference) or "empty", normalise(answer) or "empty")
    expected, heard = found.references[0], found.hypotheses[0]
    return [
        [
            _OPERATIONS[piece.type],
            " ".join(expected[piece.ref_start_idx : piece.ref_end_idx]),
            " ".join(heard[piece.hyp_start_idx : piece.hyp_end_idx]) if piece.type != "equal" else "",
        ]
        for piece in found.alignments[0]
    ]


def _filled(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Numbers within a name count as numbers: clip 10 comes after clip 9."""
    return [
        (0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in _DIGITS.split(name) if piece
    ]


def by_group(run: Run) -> dict[str, list[Score]]:
    """The scores of each group of clips."""
    found: dict[str, list[Score]] = {}
    for score in run.scores.values():
        if score.group:
            found.setdefault(score.group, []).append(score)
    return found
