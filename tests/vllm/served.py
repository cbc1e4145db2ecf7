"""A checkpoint served by `python -m model.serve`, as a host starts it, on a free port."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.speech import ROOT

SHARED_MEMORY = Path("/dev/shm")
LIMITS = ("--dtype", "float32", "--places", "4", "--context", "2048")


class Served:
    """A running server: `url`, its `name` on the wire, its log."""

    def __init__(self, folder: Path, log: Path, arguments: Sequence[str] = LIMITS) -> None:
        self._log = log
        # The tests' own settings are for vLLM inside the tests' process.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("VLLM_")}
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "model.serve", str(folder), "--port", "0", *arguments],
                cwd=ROOT,
                env={**environment, "MERALION_EXIT_WITH_PARENT": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self.process.stdout
        said = self.process.stdout.readline()
        assert said, f"It did not start:\n{self.log[-6_000:]}"
        self.ready: dict[str, Any] = json.loads(said)
        self.url = f"http://{self.ready['host']}:{self.ready['port']}"
        self.name: str = self.ready["model"]

    @property
    def log(self) -> str:
        """What it has said on stderr, its choices first and vLLM's log after them."""
        return self._log.read_text("utf-8", "replace")

    def post(self, path: str, **body: Any) -> httpx.Response:
        """Ask as JSON, or as a form where there are `files`."""
        return httpx.post(self.url + path, timeout=120, **body)

    def processes(self) -> list[int]:
        """The server's processes, by /proc: API server first."""
        found: list[int] = []
        todo = [self.process.pid]
        while todo:
            for file in Path(f"/proc/{todo.pop(0)}/task").glob("*/children"):
                below = [int(pid) for pid in file.read_text().split()]
                todo += below
                found += below
        return found

    def segments(self) -> set[Path]:
        """The shared memory that its processes have mapped."""
        return {
            SHARED_MEMORY / line.split(f"{SHARED_MEMORY}/")[1]
            for pid in self.processes()
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines()
            if f"{SHARED_MEMORY}/" in line and not line.endswith("(deleted)")
        }

    def end(self) -> None:
        """Tell it to end, and look that all of it did."""
        processes, segments = self.processes(), self.segments()
        assert len(processes) >= 3 and segments  # API server, engine, worker
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=40) == 0
        self.close()
        left(processes, segments)

    def close(self) -> None:
        """End it, as the end of its parent would."""
        if self.process.stdin:
            self.process.stdin.close()
            self.process.stdin = None
        self.process.wait(timeout=40)
        if self.process.stdout:
            self.process.stdout.close()


def ended(pid: int) -> bool:
    """Whether a process is gone."""
    try:
        return "(zombie)" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


def left(processes: list[int], segments: set[Path]) -> None:
    """Assert that nothing is left of what a server had."""
    assert [pid for pid in processes if not ended(pid)] == []
    assert segments & set(SHARED_MEMORY.iterdir()) == set()
