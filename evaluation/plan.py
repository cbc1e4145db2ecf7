"""What a run would take, without asking anything: clips, hours, requests, tokens, dollars, the judge's share
included.

Clips and hours are the table's; where a corpus does not tell them they are null, and so is what hangs on
them. Tokens are estimates by the constants below, which is enough to tell ten dollars from a thousand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from evaluation.asking import INTO_ENGLISH
from evaluation.judging import TOKENS as JUDGE_TOKENS
from evaluation.registry import Dataset
from evaluation.systems import Price, System

SPEECH_TOKENS_PER_S = 4.0  # 150 words a minute in English are 3.3 tokens a second; Mandarin has more
ANSWER_TOKENS = 100  # of a task other than writing down
INSTRUCTION_TOKENS = 60  # with the chat template
JUDGE_PROMPT_TOKENS = 500  # rubric, question, reference; the answer comes to it
JUDGE_REPLY_TOKENS = 120  # an explanation of two sentences; at most 512


@dataclass(frozen=True)
class Use:
    """Requests and tokens of one endpoint."""

    requests: int = 0
    text_in: float = 0.0
    audio_s: float = 0.0
    out: float = 0.0

    def dollars(self, price: Price) -> float:
        """By the row's prices, which are for a million tokens."""
        audio = self.audio_s * price.audio_tokens_per_s
        return (self.text_in * price.text_in + audio * price.audio_in + self.out * price.out) / 1e6


def lines(
    systems: Iterable[System],
    datasets: Iterable[Dataset],
    rows: Mapping[str, System],
    *,
    judge: System | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """A line for each system and data set, and a total."""
    sets = list(datasets)
    found = [_line(system, dataset, rows, judge, limit) for system in systems for dataset in sets]
    return [*found, _total(found)]


def _line(
    system: System, dataset: Dataset, rows: Mapping[str, System], judge: System | None, limit: int | None
) -> dict[str, Any]:
    clips = min((size for size in (dataset.n, limit) if size), default=None)
    hours = dataset.hours
    if hours and dataset.n and clips:
        hours = hours * clips / dataset.n
    line: dict[str, Any] = {
        "system": system.id,
        "dataset": dataset.id,
        "clips": clips,
        "hours": _round(hours, 2),
    }
    if dataset.same_answers_as:  # its answers are asked for under the other name
        uses: list[tuple[System, Use]] | None = []
    else:
        uses = None if clips is None or hours is None else _uses(system, dataset, rows, clips, hours * 3_600)
    line |= {
        "requests": None if uses is None else sum(use.requests for _, use in uses),
        "tokens_in": None if uses is None else round(sum(_tokens_in(one, use) for one, use in uses)),
        "tokens_out": None if uses is None else round(sum(use.out for _, use in uses)),
    }
    dollars = None if uses is None else sum(use.dollars(one.price) for one, use in uses)
    judged = dataset.metric == "judge" and judge is not None
    use = _judge_use(dataset, clips) if judged and clips is not None else Use()
    share = None if judged and clips is None else use.dollars(judge.price) if judge else 0.0
    line |= {"judge_requests": None if share is None else use.requests, "judge_dollars": _round(share, 2)}
    line["dollars"] = None if dollars is None or share is None else round(dollars + share, 2)
    return line


def _uses(
    system: System, dataset: Dataset, rows: Mapping[str, System], clips: int, seconds: float
) -> list[tuple[System, Use]]:
    """What each endpoint of a system is asked for."""
    writes = dataset.task == "asr"
    into_english = dataset.task == "st" and bool(INTO_ENGLISH.search(dataset.id))
    ears = rows[system.asr] if system.kind == "cascade" else system
    cuts = writes or system.kind != "chat"
    heard_s = seconds if cuts or not ears.head_s else min(seconds, clips * ears.head_s)
    pieces = max(clips, math.ceil(seconds / ears.pieces_s)) if cuts and ears.pieces_s else clips
    spoken = seconds * SPEECH_TOKENS_PER_S
    said = spoken if cuts else clips * ANSWER_TOKENS
    instructions = 0 if ears.kind == "transcription" else pieces * INSTRUCTION_TOKENS
    hearing = Use(pieces, instructions, heard_s, min(said, pieces * ears.max_tokens))
    if system.kind != "cascade" or writes or (into_english and ears.kind == "transcription"):
        return [(ears, hearing)]
    text = rows[system.text]
    reading = Use(
        clips, clips * INSTRUCTION_TOKENS + spoken, 0.0, clips * min(ANSWER_TOKENS, text.max_tokens)
    )
    return [(ears, hearing), (text, reading)]


def _judge_use(dataset: Dataset, clips: int) -> Use:
    reply = min(JUDGE_REPLY_TOKENS, JUDGE_TOKENS)
    return Use(clips, clips * (JUDGE_PROMPT_TOKENS + ANSWER_TOKENS), 0.0, clips * reply)


def _tokens_in(system: System, use: Use) -> float:
    return use.text_in + use.audio_s * system.price.audio_tokens_per_s


def _total(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums of what is known, and how many lines are not."""
    total: dict[str, Any] = {"total": len(found)}
    keys = (
        "clips",
        "hours",
        "requests",
        "tokens_in",
        "tokens_out",
        "judge_requests",
        "judge_dollars",
        "dollars",
    )
    for key in keys:
        total[key] = round(sum(line[key] or 0 for line in found), 2)
    return total | {"unknown": sum(line["dollars"] is None for line in found)}


def _round(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
