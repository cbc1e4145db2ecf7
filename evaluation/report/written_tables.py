"""Tables as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from evaluation.core import Result
from evaluation.report.cells import Cell, Column, Measure, Table

CSV_HEAD = ("table", "row", "system", "value", "low", "high", "n", "success_rate", "judge", "source", "note")
LEGEND = (
    "Among the figures of one source, the best is underlined and the best end-to-end system is bold, as in "
    "the paper. ↑: higher is better, ↓: lower is. After a value of ours stands its 95 % interval, by "
    "bootstrap over clips; of an average over data sets, theirs combined in quadrature. A figure that was "
    "measured unlike the others is not ranked, and a note says why. The logs are AudioBench's for the same "
    "systems, unrounded; the paper's marks are as printed."
)
MEASURED_HEAD = (
    "System",
    "Data set",
    "Value",
    "95 % interval",
    "Clips",
    "With a score",
    "These alone",
    "Judge",
    "Tokenizer",
    "Computed by",
    "Date",
)


def markdown(
    tables: Sequence[Table], measured: Sequence[Sequence[str]], summary: str, problems: Sequence[str]
) -> str:
    """The whole of report.md."""
    lines = ["# Evaluation report", "", _escaped(summary), ""]
    for problem in problems:
        lines += [f"> **Left out:** {_escaped(problem)}", ""]
    lines += [LEGEND, ""]
    for table in tables:
        lines += [f"## {table.name}", "", *_grid(table), ""]
        lines += [f"{number}. {_escaped(note)}" for number, note in enumerate(table.notes, 1)]
        lines += [""] if table.notes else []
    if measured:
        lines += ["## How ours were measured", "", *_lines(MEASURED_HEAD, measured, escape=True), ""]
    return "\n".join(lines)


def csv_text(tables: Sequence[Table]) -> str:
    """The whole of report.csv: a row a cell, values in the unit that the table prints, unrounded."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for table in tables:
        for (measure, system, source), cell in table.cells.items():
            numbers = [_number(value) for value in (cell.value, cell.low, cell.high)]
            clips = [cell.n or "", _number(cell.success_rate)]
            writer.writerow(
                [table.number, measure.label, system, *numbers, *clips, cell.judge, source, _told(cell)]
            )
    return out.getvalue()


def measured(results: Sequence[Result], titles: Mapping[str, str]) -> list[list[str]]:
    """A row of MEASURED_HEAD for each result: WER in per cent, all else 0 to 100."""
    rows = []
    for result in results:
        factor = 100 if result.metric.startswith("wer") else 1
        share = f"{result.n:,}" if result.whole else f"{result.n:,} (a part)"
        rows.append(
            [
                titles.get(result.system, result.system),
                result.dataset,
                f"{result.value * factor:.1f}",
                f"{result.low * factor:.1f}–{result.high * factor:.1f}",
                share,
                f"{result.success_rate:.1%}",
                "" if result.without_failures is None else f"{result.without_failures * factor:.1f}",
                result.judge,
                result.tokenizer,
                result.signature,
                result.made[:10],
            ]
        )
    return rows


def _grid(table: Table) -> list[str]:
    notes = table.notes
    if table.systems_are_rows:
        head = [
            "Model",
            "Source",
            *(f"{_escaped(measure.label)} {measure.arrow}" for measure in table.measures),
        ]
        rows = [
            [
                _escaped(column.title),
                source,
                *(_cell(table, measure, column, source, notes) for measure in table.measures),
            ]
            for column, source in table.lines
        ]
        return _lines(head, rows)
    head = ["Data set", *(f"{_escaped(column.title)}, {source}" for column, source in table.lines)]
    rows, section = [], ""
    for measure in table.measures:
        if measure.section != section:
            section = measure.section
            rows.append([f"*{_escaped(section)} ({measure.arrow})*", *[""] * len(table.lines)])
        label = measure.label if section else f"{measure.label} {measure.arrow}"
        rows.append(
            [
                _escaped(label),
                *(_cell(table, measure, column, source, notes) for column, source in table.lines),
            ]
        )
    return _lines(head, rows)


def _cell(table: Table, measure: Measure, column: Column, source: str, notes: Sequence[str]) -> str:
    cell = table.cells.get((measure, column.id, source))
    if cell is None:
        return "–"
    words = f"**{cell.printed}**" if cell.best_end_to_end else cell.printed
    words = f"<u>{words}</u>" if cell.best else words
    words += f" ({cell.interval})" if cell.interval else ""
    marks = ",".join(str(notes.index(note) + 1) for note in cell.notes)
    return f"{words}<sup>{marks}</sup>" if marks else words


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]], escape: bool = False) -> list[str]:
    text = [[_escaped(each) for each in row] for row in rows] if escape else rows
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *text)]


def _escaped(text: str) -> str:
    """Text of others, which must not end a cell or become a tag or a mark."""
    plain = " ".join(text.split())
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _told(cell: Cell) -> str:
    """What a row of the CSV says in words: marks, tokenizer, notes."""
    marks = [
        name for name, is_so in (("best", cell.best), ("best end-to-end", cell.best_end_to_end)) if is_so
    ]
    tokenizer = [f"tokenizer {cell.tokenizer}"] if cell.tokenizer else []
    shown = [f"printed {cell.printed}"] if cell.source == "paper" else []
    return "; ".join([*marks, *shown, *tokenizer, *(note.rstrip(".") for note in cell.notes)])
