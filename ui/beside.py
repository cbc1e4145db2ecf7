"""Files that stand beside the code: scripts and style sheets of the pages' own parts, read once."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def beside(module: str, name: str) -> str:
    """Return the text of a file in the folder of `module`, which is the caller's `__file__`."""
    return Path(module).with_name(name).read_text(encoding="utf-8")
