"""Whether what was read from a run's files has the types that it must have; a file can be edited by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from evaluation.core import Answer, Result, Score


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)


_FITS: Mapping[str, Callable[[Any], bool]] = {  # by annotation
    "str": lambda value: isinstance(value, str),
    "str | None": lambda value: value is None or isinstance(value, str),
    "int": lambda value: isinstance(value, int) and value >= 0,
    "int | None": lambda value: value is None or isinstance(value, int),
    "float": _is_number,
    "float | None": lambda value: value is None or _is_number(value),
    "bool": lambda value: isinstance(value, bool),
    "tuple[str, ...]": _are_texts,
    "Mapping[str, float]": lambda value: isinstance(value, Mapping) and all(map(_is_number, value.values())),
    "Mapping[str, Any]": lambda value: isinstance(value, Mapping),
}


def mistyped(line: Answer | Score | Result) -> str:
    """The first field whose value is of another type, or not a number, or a count below 0; or nothing."""
    for each in fields(line):
        if not _FITS[str(each.type)](getattr(line, each.name)):
            return each.name
    return ""
