"""Turns a validator's findings into sentences: which field, and what to put there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

_KINDS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "path_type": "a path",
}
_MAX_NAME = 100  # characters of a name that are quoted
_MAX_GUESSED = 64  # characters of a name that may be a slip of the pen; comparing takes their square


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ' Did you mean `x`?' for the closest known name, or nothing, as for a name longer than any."""
    if len(name) > _MAX_GUESSED:
        return ""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean `{close[0]}`?" if close else ""


def path(loc: Sequence[int | str]) -> str:
    """Write a place in a document the way people do, long names cut: messages[0].content."""
    text = ""
    for step in loc:
        text += f"[{step}]" if isinstance(step, int) else f".{_cut(step)}"
    return text.lstrip(".")


def _cut(name: str) -> str:
    return name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}…"


def sentence(error: Any, known: Iterable[str] = ()) -> str:
    """Say in one sentence what is wrong with a field; `error` is one of pydantic's `errors()`."""
    field, kind, context = path(error["loc"]), error["type"], error.get("ctx", {})
    if kind == "missing":
        return f"`{field}` is missing."
    if kind == "extra_forbidden":
        return f"`{field}` is not known here: leave it out.{nearest(str(error['loc'][-1]), known)}"
    if kind == "literal_error":
        return f"`{field}` must be {context['expected'].replace('False', 'false').replace('True', 'true')}."
    if kind == "union_tag_invalid":
        return f"`{field}.type` must be {context['expected_tags']}."
    if kind == "union_tag_not_found":
        return f"`{field}` must be an object with a `type`."
    if kind in _KINDS:
        return f"`{field}` must be {_KINDS[kind]}."
    if kind == "value_error":
        return f"`{field}`: {context['error']}"
    bound = next((context[key] for key in ("ge", "gt", "le", "lt") if key in context), None)
    if bound is not None:
        word = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
        return f"`{field}` must be {word[next(key for key in word if key in context)]} {bound:,}."
    if kind in ("too_short", "string_too_short"):
        return f"`{field}` must not be empty."
    if kind in ("too_long", "string_too_long"):
        things = "entries" if kind == "too_long" else "characters"
        return f"`{field}` may have {context['max_length']:,} {things} at most."
    if kind == "none_required":
        return f"`{field}` is not supported here: leave it out."
    return f"`{field}` has a value that is not taken here."
