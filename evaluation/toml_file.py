"""A TOML file read, or a sentence about why it is none."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from evaluation.errors import RegistryError


def read(file: Path, what: str = "", advice: str = "") -> dict[str, Any]:
    """Its tables. `what` names the file and `advice` says what to do where it cannot be read.

    Raises RegistryError.
    """
    named = f"{what}, {file}," if what else str(file)
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise RegistryError(f"{named} cannot be read ({error.strerror}). {advice}".rstrip()) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RegistryError(f"{file} is not valid TOML: {error}. Mend that line.") from None
