"""The table of `make eval` in a README: what stands between two marks is replaced, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from evaluation.errors import RunError
from evaluation.folder import replace

MARK = "<!-- make eval -->"
_BLOCK = re.compile(rf"(?<={MARK}\n).*?(?=<!-- /?make eval -->)", re.DOTALL)


def put_table(readme: Path, table: str) -> None:
    """Write `table` between the first mark and the next (or `<!-- /make eval -->`). Raises RunError."""
    try:
        text = readme.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{readme} cannot be read ({error}). Name another with --readme.") from None
    changed, times = _BLOCK.subn(lambda _: f"{table.strip()}\n", text, count=1)
    if not times:
        raise RunError(f"{readme} has no place for the table. Put two lines into it, each: {MARK}")
    if changed != text:
        replace(readme, changed.encode("utf-8"))
