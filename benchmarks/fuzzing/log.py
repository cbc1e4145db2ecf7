"""What the controller's log says of mistakes of its own."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

# Not ours: what a parser or a loop says of a request that is no HTTP.
_OTHERS = ("Invalid HTTP request received.",)


@dataclass
class Errors:
    """The lines that tell of a mistake, by what they tell."""

    errors: Counter[str] = field(default_factory=Counter)
    lines: int = 0

    def summary(self) -> str:
        """Say which, in words."""
        told = "; ".join(f"{what}: {count}" for what, count in self.errors.most_common(5))
        return f"{told or 'none'} in {self.lines:,} lines"


def read(file: Path) -> Errors:
    """Read a log: lines of JSON, and whatever was written without the log's leave."""
    found = Errors()
    with file.open(errors="replace") as lines:
        for line in lines:
            found.lines += 1
            try:
                entry = json.loads(line)
            except ValueError:
                found.errors[line.strip()[:200]] += 1
                continue
            if entry["level"] in ("error", "critical") or entry["event"] == "internal error":
                found.errors[f"{entry['event']}: {entry.get('reason', '')}"] += 1
    return found
