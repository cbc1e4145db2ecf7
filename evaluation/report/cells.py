"""What a table is made of: its measures, its systems, and a cell for each that one is measured in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evaluation.core import Result

OURS, PAPER, LOGS = "ours", "paper", "logs"
SOURCES = {OURS: "our runs", PAPER: "the paper", LOGS: "AudioBench's logs for the same systems"}


@dataclass(frozen=True)
class Measure:
    """What a row of Table 3 or a column of Tables 2 and 4 shows."""

    label: str
    family: str  # wer, bleu, judge, mmau, contains: data sets of one row and family are averaged
    row: str  # of the registry's data sets behind it
    section: str = ""
    group: str = ""  # of clips within a data set; empty: all

    @property
    def lower(self) -> bool:
        """Whether lower is better."""
        return self.family == "wer"

    @property
    def arrow(self) -> str:
        """As the paper prints it."""
        return "↓" if self.lower else "↑"


@dataclass(frozen=True)
class Column:
    """A system: a column of Table 3, a row of Tables 2 and 4."""

    id: str
    title: str
    end_to_end: bool


@dataclass(frozen=True)
class Part:
    """What one data set, or one group of its clips, gives to a cell. In the unit of result.json."""

    result: Result
    value: float
    low: float | None  # None: of a group whose clips were not at hand
    high: float | None
    n: int
    success_rate: float | None


@dataclass(frozen=True)
class Setting:
    """Two cells may be ranked against each other only if all of this is the same."""

    whole: bool
    n: int
    measured: tuple[tuple[str, str, int | None, str, str, str, int, bool], ...]  # see ranking.setting_of


@dataclass(frozen=True)
class Cell:
    """One figure, in the unit that its table prints."""

    system: str
    source: str  # one of SOURCES
    value: float | None  # None: parts are missing, or were judged by different judges
    printed: str
    low: float | None = None  # the 95 % interval
    high: float | None = None
    n: int = 0
    success_rate: float | None = None
    judge: str = ""
    tokenizer: str = ""
    best: bool = False
    best_end_to_end: bool = False
    notes: tuple[str, ...] = ()
    setting: Setting | None = None  # None: never ranked
    parts: tuple[Part, ...] = field(default=(), repr=False)

    @property
    def interval(self) -> str:
        """Its interval in as many decimals as the value; nothing where there is none."""
        if self.low is None or self.high is None:
            return ""
        places = len(self.printed.partition(".")[2])
        return f"{self.low:.{places}f}–{self.high:.{places}f}"


@dataclass(frozen=True)
class Table:
    """A table: a cell by measure, system and source, where there is one."""

    number: int  # 0: all data sets that are not in the paper
    title: str
    measures: tuple[Measure, ...]
    systems: tuple[Column, ...]
    cells: Mapping[tuple[Measure, str, str], Cell]

    @property
    def name(self) -> str:
        """Its heading."""
        return f"Table {self.number}: {self.title}" if self.number else self.title

    @property
    def systems_are_rows(self) -> bool:
        """Whether a row is a system, as the paper prints Tables 2 and 4."""
        return self.number in (2, 4)

    @property
    def lines(self) -> list[tuple[Column, str]]:
        """Each system with each source that has figures of it."""
        there = {(system, source) for _, system, source in self.cells}
        return [
            (system, source) for system in self.systems for source in SOURCES if (system.id, source) in there
        ]

    @property
    def notes(self) -> list[str]:
        """The footnotes, each once, in the order in which a reader meets them."""
        if self.systems_are_rows:
            met = [(measure, column.id, source) for column, source in self.lines for measure in self.measures]
        else:
            met = [(measure, column.id, source) for measure in self.measures for column, source in self.lines]
        cells = [self.cells[key] for key in met if key in self.cells]
        return list(dict.fromkeys(note for cell in cells for note in cell.notes))
