"""Reads paper.toml: the paper's tables as printed, its marks and what is to be said of its cells."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluation import toml_file
from evaluation.errors import RegistryError

FILE = Path(__file__).with_name("paper.toml")
_CELL = re.compile(r"(\*\*)?(_)?(\d+\.\d+)(?(2)_)(?(1)\*\*)")

Words = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Source(_Strict):
    """Where the figures are from."""

    paper: Words
    logs: Words
    repository: Words
    commit: Words
    judge: Words


class Known(_Strict):
    """A system of the paper's tables."""

    title: Words  # as printed
    end_to_end: bool
    logs: Words  # its folder among AudioBench's logs


class Printed(_Strict):
    """A table: by row, the cells of its systems, with marks."""

    systems: list[str]
    groups: dict[str, str] = {}  # rows that are of a group of clips of the first row's data set
    rows: dict[str, list[str]]
    notes: dict[str, dict[str, Words]] = {}  # by row and system


class Paper(_Strict):
    """paper.toml."""

    source: Source
    systems: dict[str, Known]
    table: dict[Literal["2", "3", "4"], Printed]


def load(file: Path) -> Paper:
    """The paper's tables. Raises RegistryError naming the file and the reason."""
    tables = toml_file.read(file, "The paper's figures")
    try:
        paper = Paper(**tables)
    except (ValidationError, TypeError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        raise RegistryError(
            f"{file}: `{'.'.join(map(str, first['loc']))}` is wrong: {first['msg']}."
        ) from None
    _check(file, paper)
    return paper


def _check(file: Path, paper: Paper) -> None:
    for number, table in paper.table.items():
        for system in table.systems:
            if system not in paper.systems:
                raise RegistryError(f"{file}: table {number} has {system}, which is not among [systems].")
        for row, cells in table.rows.items():
            if len(cells) != len(table.systems):
                raise RegistryError(f"{file}: {row} has {len(cells)} cells for {len(table.systems)} systems.")
            if wrong := [cell for cell in cells if not _CELL.fullmatch(cell)]:
                raise RegistryError(f"{file}: {row} has {wrong[0]}. Write 4.5, **4.5**, _4.5_ or **_4.5_**.")
        for row, notes in table.notes.items():
            if row not in table.rows or not notes.keys() <= set(table.systems):
                raise RegistryError(f"{file}: a note of table {number} is at {row}, where it has no figure.")


def unmarked(cell: str) -> tuple[str, bool, bool]:
    """A cell of `rows` as its figure, whether it is bold and whether it is underlined."""
    marks = _CELL.fullmatch(cell)
    assert marks  # _check has seen it
    bold, underlined, printed = marks.groups()
    return printed, bool(bold), bool(underlined)
