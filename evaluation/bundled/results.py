"""The results as a table, a page and data, and whether new ones are worse than those that are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from evaluation.bundled import machine
from evaluation.bundled.figures import OWN, Figure, Measure, measures
from evaluation.bundled.measuring import Measured
from evaluation.core import Answer
from evaluation.errors import RunError
from evaluation.folder import replace
from evaluation.registry import Dataset

NAME = "bundled"
COMMAND = "make eval"
_TEXT = """# The bundled set

Made by `{command}` on {made}, end to end through the controller, on {machine}: {took:.0f} s, of which
{cpu:.0f} s of one core's work (a machine that does other things as well takes longer).
Versions: {versions}.

{table}

{legend}

{notes}

| system | asked | sound sent | time of all answers | words of an answer to a question, median |
|---|---|---|---|---|
{times}
"""
LEGEND = (
    "Per cent, in brackets the 95 % interval by bootstrap over the clips. Word errors (lower is better) are "
    "over the corpus, by AudioBench's normaliser unless another is named; a question is answered if an "
    "accepted phrase stands in the answer and no rejected one. `cannot`: it does not offer that and is not "
    "asked, or says so each time."
)


def data(measured: Measured, took_s: float) -> dict[str, Any]:
    """All of it as JSON keeps it."""
    return {
        "command": COMMAND,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.described(),
        "versions": machine.versions(),
        "took_s": round(took_s, 1),
        "cpu_s": round(machine.cpu_s(), 1),
        "systems": measured.systems,
        "measures": [asdict(one) for one in measures(measured.datasets)],
        "figures": [asdict(one) for one in measured.figures],
        "clips": measured.clips,
        "not_offered": measured.not_offered,
        "efforts": {system: effort(asked) for system, asked in measured.answers.items()},
        "left_out": measured.left_out,
    }


def effort(asked: Sequence[tuple[Dataset, Answer]]) -> dict[str, float | None]:
    """What a system's answers took, in seconds, and how long those to questions are, in words.

    An answer that repeats the whole clip holds every accepted phrase, so the length is told with the figures.
    """
    words = [len(one.answer.split()) for dataset, one in asked if dataset.metric == "contains"]
    return {
        "asked": len(asked),
        "sound_s": round(sum(one.audio_s for _, one in asked), 1),
        "answers_s": round(sum(one.total_s for _, one in asked), 1),
        "words": median(words) if words else None,
    }


def table(found: Mapping[str, Any]) -> str:
    """The Markdown table: a line a measure, a column a system. Nothing in it is a time or a date."""
    cells = {(one["system"], one["measure"]): Figure(**one) for one in found["figures"]}
    heads = ["", "clips", *found["systems"].values()]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for each in found["measures"]:
        row = {system: cells.get((system, each["id"])) for system in found["systems"]}
        dataset = each["id"].removesuffix(OWN)
        shown = [
            "cannot" if dataset in found["not_offered"].get(system, ()) else _cell(one)
            for system, one in row.items()
        ]
        lines.append(f"| {' | '.join([each['title'], str(found['clips'][dataset]), *shown])} |")
    return "\n".join(lines)


def page(found: Mapping[str, Any]) -> str:
    """The Markdown file: how it was made, the table, notes, times."""
    notes = [f"- {one['title']}. {one['note']}" for one in found["measures"] if one["note"]]
    notes += [f"- Left out: {what}. {why}" for what, why in found["left_out"].items()]
    times = [
        f"| {found['systems'][name]} | {one['asked']} | {one['sound_s']:.0f} s | {one['answers_s']:.0f} s |"
        f" {'-' if one['words'] is None else format(one['words'], '.0f')} |"
        for name, one in found["efforts"].items()
    ]
    return _TEXT.format(
        command=found["command"],
        made=found["made"][:10],
        took=found["took_s"],
        cpu=found["cpu_s"],
        machine=found["machine"],
        versions=", ".join(f"{name} {version}" for name, version in found["versions"].items()),
        table=table(found),
        legend=LEGEND,
        notes="\n".join(notes),
        times="\n".join(times),
    )


def write(found: Mapping[str, Any], folder: Path) -> None:
    """Keep both files. Raises RunError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{folder} cannot be made ({error.strerror}). Choose another with --results."
        ) from None
    replace(folder / f"{NAME}.json", json.dumps(found, ensure_ascii=False, indent=1).encode() + b"\n")
    replace(folder / f"{NAME}.md", page(found).encode())


def read(folder: Path) -> dict[str, Any]:
    """The results that are kept. Raises RunError."""
    path = folder / f"{NAME}.json"
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        for each in found["figures"]:
            Figure(**each)
        for each in found["measures"]:
            Measure(**each)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} cannot be read as results ({error}). `{COMMAND}` makes it anew.") from None
    return found


def worse(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """A sentence on each figure that is worse than its old interval, and on each that has no new one."""
    fresh = {(one["system"], one["measure"]): one for one in now["figures"]}
    told = {one["id"]: Measure(**one) for one in before["measures"]}
    bad, gone = [], []
    for old in before["figures"]:
        measure, new = told[old["measure"]], fresh.get((old["system"], old["measure"]))
        name = f"{before['systems'][old['system']]}, {measure.title}"
        if new is None:
            gone.append(f"{name}: not measured this time.")
        elif new["value"] > old["high"] if measure.lower_is_better else new["value"] < old["low"]:
            interval = f"{old['low']:.1f} to {old['high']:.1f}"
            bad.append(f"{name}: {new['value']:.1f} %, and was {old['value']:.1f} % ({interval}).")
    return bad, gone


def _cell(one: Figure | None) -> str:
    if one is None:
        return "-"
    if one.cannot == one.n and not one.value:
        return "cannot"
    failed = f", {one.n - one.answered} failed" if one.answered < one.n else ""
    return f"{one.value:.1f} ({one.low:.1f} to {one.high:.1f}{failed})"
