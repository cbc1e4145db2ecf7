"""Reads a typed settings class from environment variables; a name that is not known stops the start."""

from __future__ import annotations

import difflib
import os
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings

Kind = TypeVar("Kind", bound=BaseSettings)


class SettingsError(ValueError):
    """A setting has an unknown name or a value that cannot be used; the message says what to do."""


def load(kind: type[Kind], owner: str) -> Kind:
    """Read the settings of `owner`, such as "the embedded engine". Raises SettingsError."""
    prefix = str(kind.model_config["env_prefix"])
    # A field with an alias concerns more than this engine, and goes by a name without the prefix.
    names = {
        field: str(about.validation_alias or prefix + field.upper())
        for field, about in kind.model_fields.items()
    }
    known = {name for name in names.values() if name.startswith(prefix)}
    for name in os.environ:
        if name.upper().startswith(prefix) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, 1)
            hint = f" Did you mean {near[0]}?" if near else f" Known: {', '.join(sorted(known))}."
            raise SettingsError(f"{name} is not a setting of {owner}.{hint}")
    try:
        return kind()
    except ValidationError as error:
        lines = [
            f"{names.get(str(item['loc'][0]), item['loc'][0])}: {_reason(item)}" for item in error.errors()
        ]
        raise SettingsError(f"The settings of {owner} cannot be used. " + "; ".join(lines)) from error


def _reason(error: ErrorDetails) -> str:
    """Our own words as they are, since they may name a file; pydantic's go on after a colon."""
    return str(error["ctx"]["error"]) if error["type"] == "value_error" else error["msg"].lower()
