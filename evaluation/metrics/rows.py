"""The command's input: a file of JSON lines in UTF-8, read a line at a time."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.errors import MetricError

LINE_BYTES = 8 * 2**20  # a row is the texts of one clip; an hour of speech is 60,000 letters
_NAMES: Mapping[type, str] = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "an object",
}


@dataclass(frozen=True)
class Key:
    """What a key of a row may hold."""

    words: str  # such as "text"
    allows: Callable[[Any], bool]


TEXT = Key("text", lambda value: isinstance(value, str))
TEXTS = Key(
    "a list of texts, not empty",
    lambda value: isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value),
)
SCALE = Key("5 (ratings 0 to 5) or 1 (0 or 1)", lambda value: type(value) is int and value in (5, 1))
_ID = Key("text or a whole number", lambda value: isinstance(value, str) or type(value) is int)


def read(path: Path, keys: Mapping[str, Key]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row and its place ("FILE, line 3"); keys that are not asked for are left in. Raises MetricError.

    Blank lines are passed over. A file without a row is an error: no score follows from it.
    """
    lines_of: dict[str, int] = {}
    for number, line in _lines(path):
        place = f"{path}, line {number}"
        row = _row(line, place)
        _check(row, {"id": _ID, **keys}, place)
        before = lines_of.setdefault(str(row["id"]), number)
        if before != number:
            raise MetricError(
                f"{place}: the id {json.dumps(row['id'])} is in line {before} already. "
                "Give each row an id of its own."
            )
        yield place, row
    if not lines_of:
        raise MetricError(f"{path} has no rows. Each line is an object with {', '.join(['id', *keys])}.")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their numbers."""
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LINE_BYTES + 1):
                number += 1
                if len(line) > LINE_BYTES:
                    raise MetricError(
                        f"{path}, line {number}, is longer than {LINE_BYTES // 2**20} MiB. "
                        "Write one clip a line."
                    )
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                if not line.isspace() and line:
                    yield number, line.decode()
    except UnicodeDecodeError as error:
        raise MetricError(
            f"{path}, line {number}, is not UTF-8 (byte {error.start + 1}: {error.reason}). "
            "Save the file as UTF-8."
        ) from None
    except OSError as error:
        raise MetricError(
            f"{path} cannot be read ({error.strerror or error}). Give a file of JSON lines."
        ) from None


def _row(line: str, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise MetricError(f"{place}, is not JSON ({error}). Write one object a line.") from None
    if not isinstance(row, dict):
        raise MetricError(f"{place}, is {_NAMES[type(row)]} and not an object. Write one object a line.")
    return row


def _check(row: Mapping[str, Any], keys: Mapping[str, Key], place: str) -> None:
    if missing := [key for key in keys if key not in row]:
        raise MetricError(f"{place}, lacks {', '.join(missing)}. A row has {', '.join(keys)}.")
    for key, kind in keys.items():
        value = row[key]
        if not kind.allows(value):
            shown = value if isinstance(value, int | float) else _NAMES[type(value)]
            raise MetricError(f'{place}: "{key}" is {shown} and must be {kind.words}.')
