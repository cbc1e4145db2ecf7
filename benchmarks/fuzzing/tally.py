"""What came of the requests: counted by kind, status and code, and what went wrong kept to be sent again."""

from __future__ import annotations

import sys
import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

_TOLD = 20  # failures that are printed


@dataclass
class Tally:
    """Counts, and failures. Two threads write to it."""

    failures: Path
    statuses: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    codes: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def __post_init__(self) -> None:
        """Count from nought."""
        self._lock = threading.Lock()

    @property
    def requests(self) -> int:
        """How many there were."""
        return sum(counts.total() for counts in self.statuses.values())

    def add(self, kind: str, name: str, status: int, code: str, seconds: float) -> None:
        """Count an answer."""
        with self._lock:
            self.statuses[kind][str(status) if status else "closed"] += 1
            self.seconds[kind] += seconds
            self.slowest = max(self.slowest, (seconds, f"{kind} {name}"))
            if code:
                self.codes[code] += 1

    def fail(self, name: str, what: str, request: bytes, answer: bytes) -> None:
        """Keep a request whose answer was wrong."""
        with self._lock:
            self.wrong[what] += 1
            self.failures.mkdir(parents=True, exist_ok=True)
            (self.failures / f"{name}.http").write_bytes(request)
            if self.wrong.total() <= _TOLD:
                print(f"{name}: {what}\n  {request[:300]!r}\n  {answer[:300]!r}", file=sys.stderr)

    def of_status(self, first: str) -> int:
        """How many answers have a status that begins so."""
        return sum(
            count
            for counts in self.statuses.values()
            for status, count in counts.items()
            if status.startswith(first)
        )
