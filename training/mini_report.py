"""The page with the mini model's numbers, all of them from the run's own files."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.mini_config import MiniRun
from training.run_folder import read_metrics

TARGET = 0.2  # the loss with the right audio over that with another's
POINTS = 8  # of a curve
TITLES = {"voices": "held-out voices", "people": "people"}
STEPS = {
    "features": "features of the frozen encoder",
    "warm_up": "warm-up by CTC",
    "listen": "stage 2",
    "evaluation": "evaluation",
}
CURVES = {
    "warm_up": ("loss", "samples_per_s", "data_wait", "eval_people_wer", "eval_voices_wer"),
    "listen": ("loss", "samples_per_s", "mfu", "data_wait", "eval_people_right", "eval_people_shuffled"),
}


def page(run: MiniRun, found: dict[str, Any]) -> str:
    """The page as Markdown. `found`: what each step found, and its seconds."""
    evaluated = found["evaluation"]["found"]
    runs = {"warm_up": run.warm_up.run, "listen": run.listen.run}
    parts = [
        "# The mini model: a run",
        f"Made by `python -m training.mini`; its settings are in `{run.listen.run}/mini.yaml`. {_machine()} "
        f"All numbers are of this one run, seed "
        f"{run.listen.seed}, its decoder in {run.listen.compute.precision}.",
        "## Held out",
        _held_out(evaluated),
        _verdict(evaluated),
        _read(evaluated),
        *_answered(evaluated),
        _adapter_alone(found["warm_up"]["found"]),
        "## Time",
        _times(found),
        "## Speech",
        _speech(found["features"]["found"]),
        *(f"## Curve: {STEPS[name]}\n\n{_curve(folder, CURVES[name])}" for name, folder in runs.items()),
        "## What it wrote",
        *(_examples(TITLES[name], evaluated[name]["examples"]) for name in TITLES),
    ]
    return "\n\n".join(parts) + "\n"


def _held_out(evaluated: dict[str, Any]) -> str:
    lines = [
        [
            TITLES[name],
            f"{part['rows']:,}",
            *(f"{part['losses'][kind]:.3f}" for kind in ("right", "shuffled", "none")),
            f"{part['losses']['right'] / part['losses']['shuffled']:.3f}",
        ]
        for name, part in evaluated.items()
    ]
    heads = ("speech", "rows", "loss, right audio", "another's", "none", "right / another's")
    return table(heads, lines)


def _read(evaluated: dict[str, Any]) -> str:
    lines = [
        [TITLES[name], source, f"{read['rate']:.1%}", f"{read['words']:,}", f"{read['clips']:,}"]
        for name, part in evaluated.items()
        for source, read in part["wer"].items()
    ]
    return table(("speech", "source", "WER, greedy", "words", "clips"), lines)


def _answered(evaluated: dict[str, Any]) -> list[str]:
    """A table where such questions were asked."""
    lines = [
        [TITLES[name], task, f"{each['right']} of {each['asked']}"]
        for name, part in evaluated.items()
        for task, each in part["answers"].items()
    ]
    return [table(("speech", "questions with one answer", "right, word by word"), lines)] if lines else []


def _verdict(evaluated: dict[str, Any]) -> str:
    ratios = {name: part["losses"]["right"] / part["losses"]["shuffled"] for name, part in evaluated.items()}
    told = (
        f"{'reached' if ratio <= TARGET else 'not reached'} on {TITLES[name]} ({ratio:.3f})"
        for name, ratio in ratios.items()
    )
    return (
        f"The aim, a loss with the right audio of at most {TARGET} of that with another's, is "
        f"{' and '.join(told)}. Losses are a mean over an answer's tokens."
    )


def _adapter_alone(warm: dict[str, float]) -> str:
    return (
        f"The adapter alone, read by greedy CTC after {int(warm['step']):,} steps: WER {warm['voices']:.1%} "
        f"on held-out voices and {warm['people']:.1%} on people's dev clips, by which it was chosen."
    )


def _times(found: dict[str, Any]) -> str:
    lines = [[title, f"{found[name]['seconds'] / 60:.1f}"] for name, title in STEPS.items()]
    total = sum(found[name]["seconds"] for name in STEPS)
    return table(("step", "minutes"), [*lines, ["all", f"{total / 60:.1f}"]])


def _speech(encoded: dict[str, Any]) -> str:
    lines = [
        [name, *(f"{part[key]:,.0f}" for key in ("rows", "clips", "states", "encoded", "seconds"))]
        for name, part in encoded.items()
    ]
    heads = ("", "rows", "clips", "states kept", "clips encoded in this run", "its seconds")
    return table(heads, lines)


def _curve(folder: Path, names: Sequence[str]) -> str:
    """The last value of each metric at some steps, evenly apart."""
    lines = read_metrics(folder)
    last = int(max(line["step"] for line in lines))
    steps = sorted({max(1, round(last * point / POINTS)) for point in range(POINTS + 1)})
    rows = []
    for step in steps:
        known: dict[str, float] = {}
        for line in lines:
            if line["step"] <= step:
                known |= {name: line[name] for name in names if name in line}
        rows.append([f"{step:,}", *(f"{known[name]:.3f}" if name in known else "" for name in names)])
    return table(("step", *names), rows)


def _examples(title: str, pairs: Sequence[Sequence[str]]) -> str:
    return f"Of {title}:\n\n" + table(("said", "written"), [[_cell(one) for one in pair] for pair in pairs])


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _machine() -> str:
    return f"On {os.cpu_count()} CPUs ({platform.machine()}), {platform.system()}."
