"""The clients' host as a process: what it said so far, and what it is told."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.hosts.program import ROOT

_FLOWS_S = 60.0
_ENDS_S = 150.0


class Load:
    """`python -m tests.hosts.load`, for the length of a `with`."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        """Start it with a command; `log` gets what it has to complain about."""
        self.said: list[dict[str, Any]] = []
        self._command = command
        self._log = log
        self._flowing = threading.Event()
        self._over = threading.Event()

    def __enter__(self) -> Load:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)
        self._reading.join(10)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def flows(self) -> None:
        """Wait until every stream has had words. Raises RuntimeError."""
        if not self._flowing.wait(_FLOWS_S):
            raise RuntimeError(f"Not all streams have words.\n{self._log.read_text()[-2_000:]}")

    def end(self) -> None:
        """Ask nothing more, and wait for what is under way. Raises RuntimeError."""
        assert self._process.stdin
        self._process.stdin.close()
        if not self._over.wait(_ENDS_S):
            raise RuntimeError(f"The load does not end.\n{self._log.read_text()[-2_000:]}")

    def counts(self) -> Counter[str]:
        """How many questions ended how, by ending and reason."""
        return Counter(f"{one['ending']} {one['why']}".rstrip() for one in self.said)

    def longest_pause_s(self) -> float:
        """The longest time that any stream was without a word."""
        return max((one["pause_s"] for one in self.said), default=0.0)

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            told = json.loads(line)
            if told["event"] == "ended":
                self.said.append(told)
            elif told["event"] == "flowing":
                self._flowing.set()
            elif told["event"] == "unreachable":
                self.said.append(
                    {**told, "ending": "wrong", "why": "unreachable", "pause_s": time.monotonic()}
                )
        self._over.set()
