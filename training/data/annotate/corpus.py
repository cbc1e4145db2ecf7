"""The corpus that is made: its folder, report and card."""

from __future__ import annotations

import fcntl
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from training.config import dump
from training.data.annotate.checks import REASONS
from training.data.annotate.config import Annotation, Endpoint
from training.data.files import write_text
from training.errors import DataError

EXAMPLES = 5  # of each reason

CARD = """# Questions, summaries and speakers

Made from `{corpus}` by `python -m training.data.annotate`: a language model (`{model}`) wrote questions,
answers and summaries from transcripts, and other ways of saying what the corpus knows of its speakers. What
it wrote was checked by rules, not by people. The sound is the corpus' own, and so are its licence and terms.

| split | task | rows |
|---|---|---|
{rows}

{answers:,} answers were judged, {unanswered:,} questions have no answer (run the command again to ask them).
Not known by the corpus, so without a row: {unknown}. What was dropped, and why:

| task | reason | answers | what it is |
|---|---|---|---|
{dropped}

{examples}
"""


@dataclass
class Outcome:
    """What became of the questions, counted from the logs: the same logs give the same figures."""

    rows: Counter[tuple[str, str]] = field(default_factory=Counter)  # by split and task
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)  # by task and reason
    examples: dict[str, list[str]] = field(default_factory=dict)
    judged: int = 0
    unanswered: int = 0
    unknown: Counter[str] = field(
        default_factory=Counter
    )  # rows whose speakers' gender or accent is not known

    def drop(self, task: str, reason: str, id: str, reply: str) -> None:
        """Count an answer that becomes no row."""
        self.dropped[task, reason] += 1
        shown = self.examples.setdefault(reason, [])
        if len(shown) < EXAMPLES:
            shown.append(f"{id}: {' '.join(reply.split())[:200]}")

    def report(self) -> dict[str, Any]:
        """As `report.json` has it."""
        return {
            "rows": {f"{split}/{task}": count for (split, task), count in sorted(self.rows.items())},
            "judged": self.judged,
            "unanswered": self.unanswered,
            "unknown": dict(sorted(self.unknown.items())),
            "dropped": {f"{task}/{reason}": count for (task, reason), count in sorted(self.dropped.items())},
            "examples": {reason: self.examples[reason] for reason in sorted(self.examples)},
        }


@contextmanager
def alone(config: Annotation) -> Iterator[None]:
    """Hold the folder against another run, and against another config. Raises DataError."""
    text = dump(_decisive(config))
    path = config.out / "build.yaml"
    if path.exists() and path.read_text("utf-8") != text:
        raise DataError(
            f"{config.out} was made by another config, which its build.yaml holds. "
            "Choose another `out`, or delete that folder."
        )
    if not path.exists():
        write_text(path, text)
    with (config.out / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(
                f"Another run is at work in {config.out}. Wait for it, or choose another `out`."
            ) from None
        yield


def write_about(config: Annotation, outcome: Outcome) -> None:
    """Report and card."""
    report = outcome.report()
    write_text(config.out / "report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    rows = [f"| {split} | {task} | {count:,} |" for (split, task), count in sorted(outcome.rows.items())]
    dropped = [
        f"| {task} | {reason} | {count:,} | {REASONS[reason]} |"
        for (task, reason), count in sorted(outcome.dropped.items())
    ]
    examples = [
        f"- {reason}: `{example.replace('`', chr(39))}`"
        for reason, shown in report["examples"].items()
        for example in shown[:2]
    ]
    card = CARD.format(
        corpus=config.corpus.name,
        model=config.endpoint.model,
        rows="\n".join(rows),
        answers=outcome.judged,
        unanswered=outcome.unanswered,
        unknown=", ".join(f"{task} of {count:,}" for task, count in sorted(outcome.unknown.items()))
        or "none",
        dropped="\n".join(dropped),
        examples="\n".join(examples),
    )
    write_text(config.out / "card.md", card)


def _decisive(config: Annotation) -> Annotation:
    """The config without what may differ between runs: where the endpoint is, how it is asked, and `out`."""
    endpoint = config.endpoint
    same = Endpoint(
        "http://as-given", endpoint.model, temperature=endpoint.temperature, max_tokens=endpoint.max_tokens
    )
    return replace(config, endpoint=same, out=Path("as-given"))
