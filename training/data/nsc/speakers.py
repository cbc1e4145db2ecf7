"""NSC's tables of speakers: whose voice a number is, their sex, and the accent by their ethnic group.

Columns by the programs named in this package: parts 1 and 2 have SpeakerID, SCD/PART1, SCD/PART2, SEX, ACC;
part 3 SCD or Speaker ID, SEX or Gender, Ethnicity; part 4 Speaker ID, Gender, Ethnic Group; part 5 Person ID,
Gender, Ethnicity. Columns are found by their names, in any sheet.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from training.data.clips import Speaker
from training.data.ledger import Ledger
from training.data.settings import Source
from training.errors import DataError

PERSON = ("speakerid",)  # one number a person over parts 1 and 2
NUMBERS = ("scd", "speakerid", "speaker id", "person id", "participant id", "id")
SEX = ("sex", "gender")
ACCENT = ("acc", "accent", "ethnicity", "ethnic group", "race")
SEXES = {"f": "female", "female": "female", "m": "male", "male": "male"}


def of(source: Source, number: str, heard: Ledger) -> Speaker:
    """The speaker with this number in a source's file names; one who is in no table is noted."""
    part, key = int(source.corpus[-1]), padded(number)
    table = _read(table_of(source), part)
    if key not in table:
        heard.repair("no_speaker_data", f"{source.label}: speaker {number}")
    return table.get(key, Speaker(unnamed(part, key)))


def table_of(source: Source) -> Path | None:
    """A source's table of speakers: any .xlsx in its folder, or one folder down, with "speaker" in its name.

    Raises DataError where there are several.
    """
    if not source.corpus.startswith("nsc-"):
        return None
    return source.speakers or _found(source.folder)


def read(path: Path, part: int) -> dict[str, Speaker]:
    """The speakers of a part by the number in its file names.

    Raises DataError: a table that cannot be read, or without a column that numbers speakers.
    """
    speakers: dict[str, Speaker] = {}
    for row in _rows(path, part):
        speakers.update(row)
    if not speakers:
        known = ", ".join(sorted({*NUMBERS, f"scd/part{part}"}))
        raise DataError(f"{path} has no column for a speaker's number. Name one of its columns: {known}.")
    return speakers


def padded(number: str) -> str:
    """A number in one form, whether a file's name or a table's cell has it: four digits at least."""
    number = number.strip().removesuffix(".0")
    return number.lstrip("0").zfill(4) if number.isdigit() else number


@lru_cache(maxsize=8)
def _read(path: Path | None, part: int) -> dict[str, Speaker]:
    return read(path, part) if path else {}


@lru_cache(maxsize=8)
def _found(folder: Path) -> Path | None:
    books = [book for book in (*folder.glob("*"), *folder.glob("*/*")) if book.suffix.lower() == ".xlsx"]
    tables = sorted(book for book in books if "speaker" in book.name.lower() and book.name[0] not in "~.")
    if len(tables) > 1:
        names = ", ".join(table.name for table in tables)
        raise DataError(
            f"{folder} has several tables of speakers: {names}. Name one as the source's `speakers`."
        )
    return tables[0] if tables else None


def _rows(path: Path, part: int) -> Iterator[dict[str, Speaker]]:
    import openpyxl  # only where there is a table

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} cannot be read as a table of speakers ({error}). Save it as .xlsx."
        ) from None
    try:
        for sheet in book.worksheets:
            columns: dict[str, int] = {}
            for cells in sheet.iter_rows(values_only=True):
                if not columns:
                    columns = _columns(cells, part)
                elif _cell(cells, columns, "number"):
                    yield _row(cells, columns, part)
    finally:
        book.close()


def _columns(cells: tuple[Any, ...], part: int) -> dict[str, int]:
    """Where a header row has what is wanted; empty where it is none."""
    heads = [re.sub(r"[\s_]+", " ", str(cell or "")).strip().lower() for cell in cells]
    wanted: Mapping[str, tuple[str, ...]] = {
        "number": (f"scd/part{part}", f"scd/part {part}", *NUMBERS),
        "person": PERSON if part in (1, 2) else (),
        "sex": SEX,
        "accent": ACCENT,
    }
    found = {
        what: next(heads.index(name) for name in names if name in heads)
        for what, names in wanted.items()
        if any(name in heads for name in names)
    }
    return found if "number" in found else {}


def _row(cells: tuple[Any, ...], columns: Mapping[str, int], part: int) -> dict[str, Speaker]:
    number = padded(_cell(cells, columns, "number"))
    person = _cell(cells, columns, "person")
    # Parts 1 and 2 share speakers: by the person's number nobody is in train and test.
    name = f"nsc-12-{padded(person)}" if person else unnamed(part, number)
    sex = SEXES.get(_cell(cells, columns, "sex").lower(), "")
    accent = _cell(cells, columns, "accent").capitalize()
    return {number: Speaker(name, sex, "" if accent == "Unknown" else accent)}


def _cell(cells: tuple[Any, ...], columns: Mapping[str, int], what: str) -> str:
    at = columns.get(what, len(cells))
    return str(cells[at]).strip() if at < len(cells) and cells[at] is not None else ""


def unnamed(part: int, number: str) -> str:
    """What to call a speaker who is in no table."""
    return f"nsc-{part}-{number}"
