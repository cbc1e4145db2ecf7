"""From a corpus of transcripts to one of questions, summaries and speakers: a shard for each shard.

The logs of answers lie in `answers/`; the rows are made of them alone, so they can be made again at no cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from training.data.annotate.asking import Tally, ask, pending
from training.data.annotate.checks import judged
from training.data.annotate.config import KNOWN, Annotation
from training.data.annotate.corpus import Outcome, alone, write_about
from training.data.annotate.endpoint import Client
from training.data.annotate.log import AnswerLog
from training.data.annotate.questions import Question, phrasings_of, prompts, questions_about
from training.data.annotate.speakers import Known, Phrasings, own_phrasings, row_about
from training.data.schema import read_shard, shards, write_index, write_shard
from training.errors import DataError


class Made(NamedTuple):
    """A new row about row `number` of a shard."""

    number: int
    id: str
    task: str
    instruction: str
    answer: str


class Shard(NamedTuple):
    """A shard of the corpus, and the log of what was asked about it."""

    split: str
    path: Path
    log: Path

    def transcripts(self) -> list[dict[str, Any]]:
        """Number, id and answer of each transcribed row."""
        table = pq.read_table(self.path, columns=["id", "answer", "task"])
        table = table.append_column("number", pa.array(range(table.num_rows)))
        rows: list[dict[str, Any]] = table.filter(pc.equal(table["task"], "asr")).to_pylist()
        return rows

    def questions(self, config: Annotation) -> list[Question]:
        """All that is asked about it."""
        return [question for row in self.transcripts() for question in questions_about(row, config)]


def annotate(config: Annotation) -> dict[str, Any]:
    """Ask what is missing, write what follows from the answers; the figures. Raises TrainingError."""
    found = _shards(config)
    with alone(config):
        return asyncio.run(_annotate(config, found, Known(config.corpus, config.accents)))


def planned(config: Annotation) -> dict[str, Any]:
    """What would be asked: nothing is sent."""
    known = Known(config.corpus, config.accents)
    questions: list[Question] = []
    answered = 0
    for path, asked in _all_questions(config, _shards(config), known):
        log = AnswerLog(path)
        open_ones = [question for question in asked if question.key(config.endpoint) not in log]
        answered += len(asked) - len(open_ones)
        questions += open_ones
    return {
        "requests": len(questions),
        "answered_before": answered,
        "prompt_tokens_about": sum(question.tokens for question in questions),
        "completion_tokens_at_most": len(questions) * config.endpoint.max_tokens,
    }


async def _annotate(config: Annotation, found: Sequence[Shard], known: Known) -> dict[str, Any]:
    tally, outcome = Tally(), Outcome()
    made: list[tuple[Shard, list[Made]]] = []
    async with Client(config.endpoint) as client:
        total = sum(
            len(pending(asked, AnswerLog(path), client))
            for path, asked in _all_questions(config, found, known)
        )
        with tqdm(total=total, unit="question", desc="Asking", smoothing=0.05) as progress:
            log = AnswerLog(_phrasings_path(config))
            questions = _phrasing_questions(config, known)
            await ask(pending(questions, log, client), log, client, tally, progress)
            phrasings = _phrasings(config, known, questions, log, outcome)
            for shard in found:
                log = AnswerLog(shard.log)
                questions = shard.questions(config)
                await ask(pending(questions, log, client), log, client, tally, progress)
                rows = list(_rows(config, shard, known, phrasings, log, outcome))
                _write(config, shard, rows)
                made.append((shard, rows))
    write_index(config.out / "index.parquet", _index(known, made))
    write_about(config, outcome)
    return {
        "out": str(config.out),
        "rows": sum(outcome.rows.values()),
        "dropped": sum(outcome.dropped.values()),
        "unanswered": outcome.unanswered,
        "asked_now": tally.answered + sum(tally.unanswered.values()),
        "failures_now": dict(tally.unanswered),
        "prompt_tokens": tally.prompt_tokens,
        "completion_tokens": tally.completion_tokens,
    }


def _shards(config: Annotation) -> list[Shard]:
    found = [
        Shard(split, path, config.out / "answers" / f"{split}-{path.stem}.jsonl")
        for split in config.splits
        for path in shards(config.corpus, split)
    ]
    if not found:
        raise DataError(
            f"{config.corpus} holds no shards. Build that corpus, or mend `corpus` in the config."
        )
    return found


def _all_questions(
    config: Annotation, found: Sequence[Shard], known: Known
) -> Iterator[tuple[Path, list[Question]]]:
    """Each log with the questions whose answers it holds."""
    yield _phrasings_path(config), _phrasing_questions(config, known)
    for shard in found:
        yield shard.log, shard.questions(config)


def _phrasings_path(config: Annotation) -> Path:
    return config.out / "answers" / "phrasings.jsonl"


def _phrasing_questions(config: Annotation, known: Known) -> list[Question]:
    return [
        question
        for task in KNOWN
        if task in config.tasks
        for question in phrasings_of(task, known.labels(task), config.phrasings)
    ]


def _phrasings(
    config: Annotation, known: Known, questions: Sequence[Question], log: AnswerLog, outcome: Outcome
) -> Phrasings:
    """Our own sentences for each label, and those of the language model that say the same."""
    found = {(task, label): own_phrasings(task, label) for task in KNOWN for label in known.labels(task)}
    for question in questions:
        if answer := _answer(config, question, log, outcome):
            sentences = found[question.task, question.label]
            if answer[1] not in sentences:
                sentences.append(answer[1])
    return found


def _answer(
    config: Annotation, question: Question, log: AnswerLog, outcome: Outcome
) -> tuple[str, str] | None:
    """Question and answer out of the log, or nothing: then it is counted why."""
    key = question.key(config.endpoint)
    if key not in log:
        outcome.unanswered += 1
        return None
    reply = log[key]
    outcome.judged += 1
    verdict = judged(question, reply.text, config.rules)
    if reason := reply.fault or verdict.reason:
        outcome.drop(question.task, reason, question.row, reply.text)
        return None
    return verdict.question, verdict.answer


def _rows(
    config: Annotation,
    shard: Shard,
    known: Known,
    phrasings: Phrasings,
    log: AnswerLog,
    outcome: Outcome,
) -> Iterator[Made]:
    """The new rows of a shard, in the order of its rows."""
    transcripts = shard.transcripts()
    labels = known.of([row["id"] for row in transcripts])
    for row in transcripts:
        told = [*_asked_of(config, row, log, outcome)]
        told += _known_of(config, row["id"], labels[row["id"]], phrasings, outcome)
        for task, instruction, answer in told:
            outcome.rows[shard.split, task] += 1
            yield Made(row["number"], f"{row['id']}-{task}", task, instruction, answer)


def _asked_of(
    config: Annotation, row: Mapping[str, Any], log: AnswerLog, outcome: Outcome
) -> Iterator[tuple[str, str, str]]:
    for question in questions_about(row, config):
        if answer := _answer(config, question, log, outcome):
            instruction = prompts()[question.task]["instruction"].format(question=answer[0])
            yield question.task, instruction, answer[1]


def _known_of(
    config: Annotation,
    id: str,
    labels: Mapping[str, Sequence[str]],
    phrasings: Phrasings,
    outcome: Outcome,
) -> Iterator[tuple[str, str, str]]:
    for task in KNOWN:
        if task not in config.tasks:
            continue
        if about := row_about(id, task, labels[task], phrasings):
            yield task, *about
        else:
            outcome.unknown[task] += 1


def _write(config: Annotation, shard: Shard, made: Sequence[Made]) -> None:
    """Write a shard's new rows, unless they are there and no answer came since."""
    path = config.out / shard.split / shard.path.name
    logs = [log.stat().st_mtime_ns for log in (shard.log, _phrasings_path(config)) if log.exists()]
    if path.exists() and path.stat().st_mtime_ns > max(logs, default=0):
        return
    if made:
        write_shard(path, _with_sound(shard, made))
    else:
        path.unlink(missing_ok=True)


def _with_sound(shard: Shard, made: Sequence[Made]) -> Iterator[dict[str, Any]]:
    table = read_shard(shard.path)
    for new in made:
        (row,) = table.slice(new.number, 1).to_pylist()
        row["context"]["path"] = f"{new.id}.flac"
        yield row | {"id": new.id, "task": new.task, "instruction": new.instruction, "answer": new.answer}


def _index(known: Known, made: Sequence[tuple[Shard, list[Made]]]) -> Iterator[dict[str, Any]]:
    for shard, rows in made:
        entries = known.entries([row.id.removesuffix(f"-{row.task}") for row in rows])
        for row in rows:
            entry = entries[row.id.removesuffix(f"-{row.task}")]
            yield entry | {"id": row.id, "task": row.task, "split": shard.split}
