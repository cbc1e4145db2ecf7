"""Rows that a run could not use, by name, in the run's folder."""

from __future__ import annotations

import json
from pathlib import Path


class LeftOut:
    """A file of one process: left_out.jsonl, or left_out.R.jsonl of rank R."""

    def __init__(self, run: Path, rank: int) -> None:
        self._path = run / ("left_out.jsonl" if rank == 0 else f"left_out.{rank}.jsonl")
        self._known: set[str] = set()

    def write(self, reasons: tuple[str, ...]) -> None:
        """Write reasons such as "row-7: its answer is empty", each once."""
        new = [reason for reason in reasons if reason not in self._known]
        if new:
            self._known.update(new)
            with self._path.open("a", encoding="utf-8") as file:
                file.write("".join(json.dumps(reason, ensure_ascii=False) + "\n" for reason in new))
