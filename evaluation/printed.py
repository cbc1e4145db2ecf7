"""What the command line prints: a result in a line, and the tables of `list`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from evaluation.core import Result
from evaluation.registry import Dataset
from evaluation.systems import System

_NAMES = {
    "wer": "WER",
    "wer_part4": "WER",
    "bleu": "BLEU",
    "judge": "judge",
    "mmau": "accuracy",
    "contains": "right",
}


def result_line(result: Result) -> str:
    """Value, interval, clips and failures, with the value that the others alone would have."""
    failed = result.n - round(result.success_rate * result.n)
    parts = [f"{_NAMES[result.metric]} {_value(result, result.value)}"]
    parts[0] += f" ({_value(result, result.low)} to {_value(result, result.high)})"
    parts.append(f"{result.n:,} clips")
    if failed:
        without = (
            "" if result.without_failures is None else f", {_value(result, result.without_failures)} without"
        )
        parts.append(f"{failed:,} failed{without}")
    parts += [f"judged by {result.judge}"] if result.judge else []
    parts += [f"tokenizer {result.tokenizer}"] if result.tokenizer else []
    parts += [] if result.whole else ["not the whole data set"]
    return f"{result.system}  {result.dataset}  {', '.join(parts)}"


def systems_table(systems: Iterable[System]) -> str:
    """Every system, where it is asked, whether its key is set, and how to start it."""
    head = ("system", "kind", "asked at", "key", "")
    rows: list[tuple[str, ...]] = []
    for one in systems:
        place = f"{one.asr} + {one.text}" if one.kind == "cascade" else one.base_url
        key = (
            f"{one.key_env} {'set' if os.environ.get(one.key_env) else 'missing'}" if one.key_env else "none"
        )
        rows.append((one.id, one.kind, place, key, one.title))
        rows.append(("", f"start: {one.start}", "", "", ""))
        rows += [("", f"note: {one.note}", "", "", "")] if one.note else []
    return _aligned(head, rows)


def datasets_table(datasets: Iterable[Dataset]) -> str:
    """Every data set, what is measured on it, and how large it is."""
    head = ("data set", "table", "row", "task", "metric", "clips", "hours", "gated", "licence")
    rows = []
    for one in datasets:
        scale = f" 0-{one.scale}" if one.scale else ""
        size = f"{one.n:,}" if one.n else "?", f"{one.hours:.1f}" if one.hours else "?"
        gated = "yes" if one.gated else ""
        rows.append(
            (one.id, str(one.table or ""), one.row, one.task, one.metric + scale, *size, gated, one.licence)
        )
    return _aligned(head, rows)


def _value(result: Result, value: float) -> str:
    return f"{value:.2%}".replace("%", " %") if result.metric.startswith("wer") else f"{value:.1f}"


def _aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side; a row with one cell but the first empty is a sentence and may be as long as it
    likes.
    """
    cells = [row for row in rows if row[0]]
    widths = [max(len(row[at]) for row in [head, *cells]) for at in range(len(head))]
    lines = []
    for row in [head, *rows]:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(padded).rstrip() if row[0] else f"    {row[1]}")
    return "\n".join(lines)
