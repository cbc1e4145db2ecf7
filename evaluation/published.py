"""The figures of the paper's Tables 2, 3 and 4 as printed, and those of AudioBench's logs for the same cells.

Both are data: paper.toml beside this file, and logs.csv, which `python -m evaluation audiobench` makes.
Figures are in the unit that the paper's table prints: WER is per cent in Table 2 and a fraction in Table 3.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from evaluation.errors import RegistryError
from evaluation.paper import FILE, Known, Paper, Printed, load, unmarked
from evaluation.registry import Dataset, datasets

LOGS = Path(__file__).with_name("logs.csv")

Key = tuple[int, str, str]  # table, row and system


@dataclass(frozen=True)
class Figure:
    """A figure of a cell."""

    value: float  # in the unit that its table prints
    best: bool
    best_end_to_end: bool
    printed: str
    source: str
    note: str = ""


@cache
def _paper() -> Paper:
    return load(FILE)


def systems() -> Mapping[str, Known]:
    """The systems of the paper's tables, by our id. Raises RegistryError."""
    return _paper().systems


@cache
def paper() -> Mapping[Key, Figure]:
    """The figures that the paper prints, and which it marks as the best. Raises RegistryError."""
    found: dict[Key, Figure] = {}
    for number, table in _tables():
        for row, cells in table.rows.items():
            for system, cell in zip(table.systems, cells, strict=True):
                printed, bold, underlined = unmarked(cell)
                note = table.notes.get(row, {}).get(system, "")
                source = _paper().source.paper
                found[number, row, system] = Figure(float(printed), underlined, bold, printed, source, note)
    return found


def _tables() -> Iterator[tuple[int, Printed]]:
    return ((int(number), table) for number, table in _paper().table.items())


@cache
def logs() -> Mapping[Key, Figure]:
    """The same from AudioBench's logs, unrounded: a cell of several data sets is the mean of their logs.

    Also of systems that the paper leaves out of a table, and of MMAU's string match. Nothing is marked as the
    best. Raises RegistryError.
    """
    logged = read_logs(LOGS)
    source = f"{_paper().source.logs}, commit {_paper().source.commit[:7]}"
    found: dict[Key, Figure] = {}
    for table, row, group, parts in _cells(datasets().values()):
        for system in systems():
            lines = [logged[key] for part in parts if (key := (part.id, system, group)) in logged]
            if len(lines) == len(parts):
                value = math.fsum(line.value for line in lines) / len(lines) * _unit(table, parts[0])
                printed = f"{value:.{_decimals(table, parts[0])}f}"
                note = " ".join(filter(None, (_other_scale(lines, parts[0]), _unread(lines))))
                found[table, row, system] = Figure(value, False, False, printed, source, note)
    return found


def _cells(rows: Iterable[Dataset]) -> Iterator[tuple[int, str, str, list[Dataset]]]:
    """Table, row, group of clips and data sets of every cell."""
    parts: dict[tuple[int, str], list[Dataset]] = {}
    for row in rows:
        if row.table:
            parts.setdefault((row.table, row.row), []).append(row)
    for (table, label), several in parts.items():
        yield table, label, "", several
    for number, printed in _tables():
        first = next(iter(printed.rows))
        for label, group in printed.groups.items():
            yield number, label, group, parts.get((number, first), [])


def _unit(table: int, part: Dataset) -> float:
    return 100.0 if table == 2 and part.task == "asr" else 1.0


def _decimals(table: int, part: Dataset) -> int:
    return 2 if table == 3 and part.task == "asr" else 1


def _other_scale(lines: Sequence[Line], part: Dataset) -> str:
    if all(line.scale == part.scale for line in lines):
        return ""
    return "Rated on 0 to 5, other systems on 0 or 1: it does not compare with theirs."


def _unread(lines: Sequence[Line]) -> str:
    rates = [line.success_rate for line in lines if line.success_rate is not None]
    lost = 1 - sum(rates) / len(rates) if rates else 0.0
    return f"{lost:.1%} of the judge's ratings could not be read, and count as 0." if lost > 0.004 else ""


@dataclass(frozen=True)
class Line:
    """A line of logs.csv: what a system got on a data set, or a group of its clips, as AudioBench has it."""

    value: float  # WER a fraction; all else 0 to 100
    success_rate: float | None
    scale: int | None  # of the judge
    clips: int | None


def read_logs(file: Path) -> Mapping[tuple[str, str, str], Line]:
    """The lines of a logs.csv by data set, system and group. Raises RegistryError."""
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            return {_place(line): _line(line) for line in csv.DictReader(lines)}
    except (OSError, UnicodeDecodeError, KeyError, ValueError, TypeError) as error:
        raise RegistryError(
            f"{file} cannot be read as AudioBench's logs ({error}). Make it again with "
            "`python -m evaluation audiobench`."
        ) from None


def _place(line: Mapping[str, str]) -> tuple[str, str, str]:
    return line["dataset"], line["system"], line["group"]


def _line(line: Mapping[str, str]) -> Line:
    rate = float(line["success_rate"]) if line["success_rate"] else None
    scale, clips = (int(line[name]) if line[name] else None for name in ("scale", "clips"))
    return Line(float(line["value"]), rate, scale, clips)
