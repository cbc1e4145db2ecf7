"""The commands behind `python -m evaluation`, each a function of its arguments that returns the exit code."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from evaluation import audiobench as clone
from evaluation import data, instructions, judging, plan, printed, report, runner, scoring
from evaluation import systems as registry
from evaluation.core import ANSWERS, Answer, kept
from evaluation.errors import EndpointError, EvaluationError, RunError
from evaluation.judgements import hashed
from evaluation.judging import Judge
from evaluation.registry import Dataset, datasets, load, select
from evaluation.systems import System, systems

Arguments = argparse.Namespace


def run(asked: Arguments) -> int:
    """Ask every system about every data set, then score. What fails is told, and the others go on."""
    rows, sets = systems(asked.systems), _sets(asked)
    wanted = registry.chosen(asked.system, rows)
    chosen = select(asked.dataset or (), set(asked.table or ()), sets)
    judge = _judge(asked, rows)
    if asked.dry_run:
        lines = plan.lines(wanted, chosen, rows, judge=judge.system if judge else None, limit=asked.limit)
        _say("\n".join(json.dumps(line) for line in lines))
        return 0
    failed = False
    for system in wanted:
        for dataset in _asked_once(chosen, sets):
            try:
                _run_one(asked, system, dataset, rows)
            except EvaluationError as error:
                _tell(error)
                failed = True
                if isinstance(error, EndpointError):
                    break  # a system that is away is so for the other data sets too
                continue
            for each in chosen:
                if dataset.id in (each.id, each.same_answers_as):
                    failed |= not _scored(asked.out, system.id, each, judge)
    return 2 if failed else 0


def score(asked: Arguments) -> int:
    """Score what is in a folder of runs already; with a judge, have answers rated first."""
    rows, sets = systems(asked.systems), _sets(asked)
    judge = _judge(asked, rows)
    found = [
        (system, dataset)
        for system, dataset in _answered(asked.out, sets)
        if (not asked.system or system in asked.system) and (not asked.dataset or dataset.id in asked.dataset)
    ]
    if not found:
        raise RunError(f"{asked.out} holds no answers to score. `python -m evaluation run` asks for some.")
    failed = [one for one in found if not _scored(asked.out, *one, judge)]
    return 2 if failed else 0


def write_report(asked: Arguments) -> int:
    """Write the tables and the page."""
    made = report.write(
        asked.out,
        asked.to or asked.out,
        datasets=_sets(asked),
        systems=systems(asked.systems),
        audio=asked.audio,
    )
    for problem in made.problems:
        _tell(problem)
    _say(f"{made.markdown}\n{made.csv}\n{made.page}")
    return 0


def show(asked: Arguments) -> int:
    """List systems and data sets."""
    _say(f"{printed.systems_table(systems(asked.systems).values())}\n")
    _say(printed.datasets_table(_sets(asked).values()))
    return 0


def audiobench(asked: Arguments) -> int:
    """Bring AudioBench's own words and logs from a clone of it."""
    _say("\n".join(clone.bring(asked.checkout, asked.out)))
    return 0


def _run_one(asked: Arguments, system: System, dataset: Dataset, rows: Mapping[str, System]) -> None:
    lists = instructions.load(asked.instructions) if asked.instructions else None
    source = f"{asked.instructions.name} {hashed(repr(lists))}" if lists else "ours"
    tally = runner.run(
        system,
        dataset,
        data.examples(dataset, asked.data, asked.limit, download=asked.download, instructions=lists),
        asked.out,
        rows=rows,
        limit=asked.limit,
        concurrency=asked.concurrency,
        instructions=source,
    )
    sys.stderr.write(f"{tally.words}\n")


def _scored(out: Path, system: str, dataset: Dataset, judge: Judge | None) -> bool:
    """Score; what keeps it from being done, such as a judge that is away, is told, and the rest goes on."""
    try:
        _score_one(out, system, dataset, judge)
    except EvaluationError as error:
        _tell(error)
        return False
    return True


def _score_one(out: Path, system: str, dataset: Dataset, judge: Judge | None) -> None:
    folder = out / system / (dataset.same_answers_as or dataset.id)
    judge_id = ""
    if dataset.metric == "judge" and judge:
        answers = list(kept(folder / ANSWERS, Answer))
        assert dataset.scale is not None  # the registry sees to it
        judge_id = judging.judge(folder, answers, dataset.scale, judge).id
    _say(printed.result_line(scoring.score(folder, dataset, judge=judge_id, into=out / system / dataset.id)))


def _asked_once(chosen: list[Dataset], sets: Mapping[str, Dataset]) -> list[Dataset]:
    """Data sets of the same questions are asked about under one name."""
    return list({name: sets[name] for one in chosen if (name := one.same_answers_as or one.id)}.values())


def _answered(out: Path, sets: Mapping[str, Dataset]) -> Iterator[tuple[str, Dataset]]:
    """Systems, and the data sets that can be scored from what they answered."""
    for answers in sorted(out.glob(f"*/*/{ANSWERS}")):
        for dataset in sets.values():
            if answers.parent.name in (dataset.id, dataset.same_answers_as):
                yield answers.parent.parent.name, dataset


def _judge(asked: Arguments, rows: Mapping[str, System]) -> Judge | None:
    """The judge that is named, by a row or by its address."""
    prompts = judging.load_prompts(asked.judge_prompts or judging.PROMPTS)
    if asked.judge:
        (row,) = registry.chosen([asked.judge], rows)
        if row.kind != "chat":
            raise RunError(
                f"{row.title} is a {row.kind} and cannot judge. Name a system of kind chat with --judge."
            )
        return Judge(row, prompts)
    if not asked.judge_url:
        return None
    row = System(
        id="judge",
        title="The judge",
        kind="chat",
        base_url=asked.judge_url,
        model=asked.judge_model,
        key_env=asked.judge_key_env,
        start=f"check the address {asked.judge_url}",
    )
    return Judge(row, prompts)


def _sets(asked: Arguments) -> Mapping[str, Dataset]:
    return {**datasets(), **(load(asked.datasets) if asked.datasets else {})}


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _tell(problem: object) -> None:
    sys.stderr.write(f"error: {problem}\n")
