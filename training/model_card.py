"""The card of an exported model: what it is, from what, on which data, with which settings, how well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from model.layouts import Layout
from training import config as configs
from training.audiollm_config import AudioLLMRun
from training.audiollm_data import mixture_of
from training.errors import ConfigError
from training.frozen import BASE
from training.run_folder import METRICS, read_metrics, step_of

CARD = "README.md"
SHOWN_LINES = 12  # of a curve: enough to see its shape


def write_card(folder: Path, settings: AudioLLMRun, run: Path, checkpoint: Path, layout: Layout) -> None:
    """Write README.md beside an exported model."""
    step = step_of(checkpoint) or 0
    sections = [
        _head(layout),
        f"# {settings.run.name}\n\nAn audio LLM in the layout of {layout.title}: {_parts(checkpoint)}. "
        f"Trained for {step:,} steps of {settings.batch.size:,} samples by `training.train_audiollm`; "
        "LoRA is merged.",
        "## Use\n\n    python -m model.serve DIR\n    python -m model.checkpoints inspect DIR",
        f"## Data\n\n{_data(settings)}",
        f"## Metrics\n\n{_metrics(run, step)}",
        f"## Settings\n\n```yaml\n{configs.dump(settings)}```",
    ]
    (folder / CARD).write_text("\n\n".join(sections) + "\n", "utf-8")


def _head(layout: Layout) -> str:
    return f"---\nlibrary_name: transformers\ntags: [audio, speech, {layout.model_type}]\n---"


def _parts(checkpoint: Path) -> str:
    base: dict[str, str] = json.loads((checkpoint / BASE).read_text("utf-8"))
    named = {key: value for key, value in base.items() if key not in ("frozen", "mixture")}
    return ", ".join(f"{key} `{value}`" for key, value in named.items())


def _data(settings: AudioLLMRun) -> str:
    """A line a source, and the corpora's own cards, from their titles to their first section."""
    try:
        sources = mixture_of(settings).sources
    except ConfigError as error:
        return str(error)
    lines = [
        f"- {source.title}, weight {'by rows' if source.weight is None else f'{source.weight:g}'}"
        for source in sources
    ]
    cards = [_summary(corpus / "card.md") for corpus in dict.fromkeys(source.corpus for source in sources)]
    return "\n".join(lines) + "".join(f"\n\n{card}" for card in cards if card)


def _summary(card: Path) -> str:
    """A data card to its second heading, as a quotation; empty where there is none."""
    if not card.is_file():
        return ""
    kept: list[str] = []
    for line in card.read_text("utf-8").splitlines():
        if line.startswith("## ") and kept:
            break
        kept.append(f"> {line}".rstrip())
    return "\n".join(kept).strip()


def _metrics(run: Path, step: int) -> str:
    """The curve to the exported step, thinned out, and the last evaluation."""
    if not (run / METRICS).is_file():
        return "None were written."
    lines = [line for line in read_metrics(run) if line["step"] <= step]
    steps = [line for line in lines if "loss" in line]
    every = max(1, -(-len(steps) // SHOWN_LINES))
    shown = [*steps[::every], *(steps[-1:] if (len(steps) - 1) % every else [])]
    table = ["| step | loss | lr | samples/s |", "|---|---|---|---|", *(_row(line) for line in shown)]
    evaluated = [line for line in lines if "eval_loss" in line]
    if evaluated:
        last = evaluated[-1]
        table += ["", f"Held-out loss at step {last['step']:,.0f}: {last['eval_loss']:.4f}."]
    return "\n".join(table)


def _row(line: dict[str, Any]) -> str:
    rate = line.get("samples_per_s")
    return f"| {line['step']:,} | {line['loss']:.4f} | {line['lr']:.2e} | {f'{rate:.1f}' if rate else ''} |"
