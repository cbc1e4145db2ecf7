"""A run: every example asked, many at once, each answer kept as it comes. A run that ended early goes on.

    examples (read in a thread) -> `concurrency` at once: Caller.answer -> Journal (answers.jsonl)

Clips with an answer are never asked again, nor those that are at fault themselves (no sound, refused). Those
that failed because the endpoint was away are, and the last line of a clip is the one that counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from evaluation import folder as folders
from evaluation.calling import Caller
from evaluation.core import ANSWERS, Answer, Example, kept, written
from evaluation.data import Broken
from evaluation.errors import DataError, EndpointError, RunError
from evaluation.journal import Journal
from evaluation.reading import for_each
from evaluation.registry import Dataset
from evaluation.retrying import Streak
from evaluation.systems import System, systems


@dataclass
class Tally:
    """How a run went."""

    folder: Path
    answered: int = 0  # in this run
    before: int = 0  # kept from runs before
    failed: int = 0
    again: int = 0  # of the failed, those that the same command asks again

    @property
    def words(self) -> str:
        """In a line, for people."""
        parts = [f"{self.answered:,} answered"]
        parts += [f"{self.before:,} kept from before"] if self.before else []
        parts += [f"{self.failed:,} failed"] if self.failed else []
        parts += [f"{self.again:,} of them are asked again by the same command"] if self.again else []
        return f"{self.folder}: {', '.join(parts)}."


def folder_of(out: Path, system: System, dataset: Dataset) -> Path:
    """Where a system's answers to a data set are; data sets of the same questions share them."""
    return out / system.id / (dataset.same_answers_as or dataset.id)


def run(
    system: System,
    dataset: Dataset,
    examples: Iterable[Example | Broken],
    out: Path,
    *,
    rows: Mapping[str, System] | None = None,
    limit: int | None = None,
    concurrency: int | None = None,
    instructions: str = "ours",
    bar: bool = True,
) -> Tally:
    """Ask all examples. Raises EvaluationError, having kept every answer that came.

    `rows` hold a cascade's halves (systems.toml by default). `examples` are cut to `limit` already: it is
    kept in run.json, as is the source of `instructions`, and may grow from run to run.
    """
    rows = systems() if rows is None else rows
    folder = folder_of(out, system, dataset)
    with folders.held(folder):
        asked = what_is_asked(system, dataset, rows, instructions)
        folders.check_same(folder, asked, limit)
        done = {line.id: line for line in kept(folder / ANSWERS, Answer) if not line.again}
        total = min((size for size in (limit, dataset.n) if size), default=None)
        at_once = concurrency or system.concurrency
        return asyncio.run(
            _Run(Caller(system, dataset, rows), folder, asked, limit, done).all(examples, at_once, total, bar)
        )


def what_is_asked(
    system: System, dataset: Dataset, rows: Mapping[str, System], instructions: str
) -> dict[str, Any]:
    """All that decides the answers: a folder holds one such run."""
    halves = {half: rows[name].asked() for half in ("asr", "text") if (name := getattr(system, half))}
    data = {"id": dataset.same_answers_as or dataset.id, "hub": dataset.hub, "revision": dataset.revision}
    data |= {"split": dataset.split, "instruction": dataset.instruction, "asked": dataset.asked}
    return {"system": system.asked() | halves, "dataset": data, "instructions": instructions}


class _Run:
    def __init__(
        self,
        caller: Caller,
        folder: Path,
        asked: Mapping[str, Any],
        limit: int | None,
        done: Mapping[str, Answer],
    ) -> None:
        self._caller, self._asked, self._limit, self._done = caller, asked, limit, done
        self._seen: set[str] = set()
        self._streak = Streak(caller.system.patience)
        self.tally = Tally(folder)

    async def all(
        self, examples: Iterable[Example | Broken], at_once: int, total: int | None, bar: bool
    ) -> Tally:
        """The run. Raises EvaluationError."""
        name = f"{self._caller.system.id} {self._caller.dataset.id}"
        async with self._caller:
            await self._caller.find()
            self._check_models()
            with Journal(self.tally.folder / ANSWERS) as self._journal:
                self._say(finished=None)
                # In a terminal, and only there: in a log it would be a line a clip.
                with tqdm(total=total, desc=name, unit="clip", disable=None if bar else True) as self._bar:
                    await for_each(examples, at_once, self._one)
            self._say(finished=len(self._seen))
        return self.tally

    async def _one(self, example: Example | Broken) -> None:
        """Ask about an example, unless it is known, and keep the answer."""
        if example.id in self._seen:
            raise DataError(
                f"{self._caller.dataset.id} holds two clips of the id {example.id!r}. Mend the data."
            )
        self._seen.add(example.id)
        if before := self._done.get(example.id):
            self.tally.before += not before.problem
            self.tally.failed += bool(before.problem)
        else:
            answer = await self._answered(example)
            self._journal.append(written(answer))
            self._count(answer)
        self._bar.update()
        self._bar.set_postfix(failed=self.tally.failed, refresh=False)

    async def _answered(self, example: Example | Broken) -> Answer:
        """A row that cannot be asked about is a clip that failed, so that nothing is lost in silence."""
        if isinstance(example, Broken):
            return Answer(example.id, "", "", "", "", problem=example.why)
        return await self._caller.answer(example)

    def _count(self, answer: Answer) -> None:
        """Raises EndpointError where nothing has been answered for too long."""
        tally = self.tally
        tally.answered += not answer.problem
        tally.failed += bool(answer.problem)
        tally.again += answer.again
        if self._streak.is_over(answer.again):
            raise EndpointError(
                f"{self._caller.system.title} has not answered {self._streak.length} clips in a row; the "
                f"last reason: {answer.problem} The run stopped, and its {tally.answered + tally.before:,} "
                f"answers are kept in {tally.folder}. Once the endpoint is back, give the same command again "
                "to go on."
            )

    def _check_models(self) -> None:
        """A row that names no model takes what is there, which must be the same as before."""
        now = self._caller.models
        before = folders.read(self.tally.folder).get("models", now)
        if before != now:
            raise RunError(
                f"{self.tally.folder} holds answers of {' and '.join(before)}, and {' and '.join(now)} is "
                "there now. Start the former again, or choose another --out."
            )

    def _say(self, finished: int | None) -> None:
        """Keep in run.json what is asked of whom, and at the end of how many clips."""
        before = folders.read(self.tally.folder)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        run = {
            "asked": self._asked,
            "limit": self._limit,
            "title": self._caller.system.title,
            "base_url": self._caller.system.base_url,
            "models": self._caller.models,
            "started": before.get("started", now),
            "ended": now if finished is not None else None,
            "clips": finished,
        }
        folders.write(self.tally.folder, run)
