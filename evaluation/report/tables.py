"""Tables 2, 3 and 4 in the paper's form, ours beside the paper's and its logs'; table 0 is all else.

Units and decimals are the paper's: WER is per cent in Table 2 and a fraction in Table 3; all else is 0 to
100.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from evaluation.core import Result
from evaluation.errors import RunError
from evaluation.published import Figure
from evaluation.registry import Dataset
from evaluation.report.cells import LOGS, PAPER, Cell, Column, Measure, Table
from evaluation.report.figures import Groups, ours, part_of, told
from evaluation.report.line_types import mistyped
from evaluation.report.ranking import ranked

TITLES = {
    2: "Singlish understanding",
    3: "General speech and audio understanding",
    4: "MMAU-mini, by a judge as in the paper, and by MMAU's own string match",
    0: "Data sets outside the paper",
}
SECTIONS = {  # of Table 3, by task
    "asr": "Automatic Speech Recognition",
    "st": "Speech Translation",
    "sqa": "Spoken Question Answering",
    "si": "Speech Instruction",
} | dict.fromkeys(("gender", "accent", "emotion", "sentiment"), "Paralinguistics")
FAMILIES = {"wer_part4": "wer"}  # metrics that are averaged together

Figures = Mapping[tuple[int, str, str], Figure]  # by table, row and system


class Described(Protocol):
    """What a table must know of a system."""

    @property
    def title(self) -> str:
        """Its name for people."""

    @property
    def end_to_end(self) -> bool:
        """Whether it is one model from sound to answer."""


class Published(Protocol):
    """What the module evaluation.published gives."""

    def systems(self) -> Mapping[str, Described]:
        """The systems of the paper, titled as printed."""

    def paper(self) -> Figures:
        """The figures that the paper prints."""

    def logs(self) -> Figures:
        """The same from AudioBench's logs, unrounded."""


def build(
    results: Sequence[Result],
    datasets: Mapping[str, Dataset],
    published: Published,
    systems: Mapping[str, Described] | None = None,
    groups: Groups | None = None,
) -> list[Table]:
    """Tables 2, 3, 4 and 0, each if anything is known for it.

    A group of clips (MMAU's speech, music, sound) has an interval only if `groups` gives it. Raises
    RunError for a result of an unknown data set, two results for one cell, and a value that is not a
    number.
    """
    check(results, datasets)
    tables = [_table(number, results, datasets, published, systems or {}, groups or {}) for number in TITLES]
    return [table for table in tables if table.cells]


def check(results: Iterable[Result], datasets: Mapping[str, Dataset]) -> None:
    """Raise RunError for a result that no table can hold."""
    seen: set[tuple[str, str]] = set()
    for result in results:
        name = f"The result of {result.system} on {result.dataset}"
        if wrong := mistyped(result):
            raise RunError(f"{name} has a `{wrong}` that cannot be. Score the run again.")
        if result.dataset not in datasets:
            raise RunError(
                f"{name} is of no known data set. Add its row to datasets.toml, or move the result away."
            )
        metric = datasets[result.dataset].metric
        if result.metric != metric:
            raise RunError(
                f"{name} was scored by {result.metric}, its row says {metric}. Score the run again."
            )
        if (result.system, result.dataset) in seen:
            raise RunError(f"{name} is there twice. Move one of the two away: a cell shows one run.")
        seen.add((result.system, result.dataset))


def _table(
    number: int,
    results: Sequence[Result],
    datasets: Mapping[str, Dataset],
    published: Published,
    described: Mapping[str, Described],
    groups: Groups,
) -> Table:
    rows = {name: row for name, row in datasets.items() if row.table == number}
    results = [result for result in results if result.dataset in rows]
    paper, logs = (
        {(row, system): each for (table, row, system), each in figures.items() if table == number}
        for figures in (published.paper(), published.logs())
    )
    measures = _measures(rows, results, [row for row, _ in paper])
    columns = _columns([system for _, system in paper], results, {**described, **published.systems()})
    end_to_end = {column.id for column in columns if column.end_to_end}
    cells: dict[tuple[Measure, str, str], Cell] = {}
    for measure in measures:
        expected = [row for row in rows.values() if _holds(row, measure)]
        run = [_ours(number, measure, column.id, results, expected, groups) for column in columns]
        printed, logged = (
            [
                told(source, column.id, figures[measure.label, column.id])
                for column in columns
                if (measure.label, column.id) in figures
            ]
            for source, figures in ((PAPER, paper), (LOGS, logs))
        )
        mine = ranked([cell for cell in run if cell], end_to_end, measure.lower)
        for cell in (*mine, *printed, *ranked(logged, end_to_end, measure.lower)):
            cells[measure, cell.system, cell.source] = cell
    shown = {measure for measure, _, _ in cells}
    return Table(
        number, TITLES[number], tuple(each for each in measures if each in shown), tuple(columns), cells
    )


def _ours(
    number: int,
    measure: Measure,
    system: str,
    results: Sequence[Result],
    expected: Sequence[Dataset],
    groups: Groups,
) -> Cell | None:
    names = [row.id for row in expected]
    found = [result for result in results if result.system == system and result.dataset in names]
    found.sort(key=lambda result: names.index(result.dataset))
    parts = [part for result in found if (part := part_of(result, measure.group, groups))]
    return ours(number, measure, parts, expected) if parts else None


def _holds(row: Dataset, measure: Measure) -> bool:
    """Whether a data set belongs to a measure."""
    return (row.row if row.table else row.id) == measure.row and _family(row) == measure.family


def _family(row: Dataset) -> str:
    return FAMILIES.get(row.metric, row.metric)


def _measures(
    rows: Mapping[str, Dataset], results: Sequence[Result], printed: Sequence[str]
) -> list[Measure]:
    """In the registry's order, which is the paper's; below a data set that is summed up by group, its groups.

    Groups are what the paper prints beside the data sets' own rows (Table 4: Speech, Music, Sound). In
    table 0 nothing is averaged: a data set is a measure, under the heading that its row names.
    """
    own = {row.row for row in rows.values()}
    columns = [label for label in dict.fromkeys(printed) if label not in own]
    found: dict[Measure, None] = {}
    for row in rows.values():
        family = _family(row)
        if row.table:
            kind = "".join(row.row.partition(" (")[1:])  # as " (string match)"
            named = {column + kind: column.casefold() for column in columns if row.fields.group}
            measure = Measure(row.row, family, row.row, SECTIONS.get(row.task, "") if row.table == 3 else "")
        else:
            of_it = [result for result in results if result.dataset == row.id]
            named = {f"{row.title}: {group}": group for result in of_it for group in sorted(result.groups)}
            measure = Measure(row.title, family, row.id, row.row)
            if not of_it:
                continue
        found[measure] = None
        found |= {replace(measure, label=label, group=group): None for label, group in named.items()}
    return list(found)


def _columns(
    named: Sequence[str], results: Sequence[Result], described: Mapping[str, Described]
) -> list[Column]:
    """The systems of the paper in its order, then ours in that of systems.toml, then any others.

    A system that is not described is not called end-to-end.
    """
    run = {result.system for result in results}
    ids = dict.fromkeys([*named, *(name for name in described if name in run), *sorted(run)])
    return [
        Column(name, described[name].title, described[name].end_to_end)
        if name in described
        else Column(name, name, False)
        for name in ids
    ]
