"""Programs under measurement: started, waited for, and read about in /proc."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx

ROOT = Path(__file__).parents[2]
_TICKS = os.sysconf("SC_CLK_TCK")
_PATIENCE_S = 60.0


@dataclass
class Program:
    """One of them, with what it said when it was ready."""

    process: subprocess.Popen[bytes]
    ready: dict[str, Any]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def cpu_s(self) -> float:
        """CPU seconds that it and its children have used."""
        return sum(_cpu_s(pid) for pid in family(self.pid))

    def memory_mb(self) -> float:
        """Memory of it and its children in MB, pages that several share counted once (PSS)."""
        return sum(_kb(pid, "smaps_rollup", "Pss") for pid in family(self.pid)) / 1_024

    def resident_mb(self) -> float:
        """Resident memory in MB of the process alone (RSS)."""
        return _kb(self.pid, "status", "VmRSS") / 1_024


def family(pid: int) -> list[int]:
    """Return a process and all below it."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += family(int(child))
    return found


@contextlib.contextmanager
def running(
    command: Sequence[str],
    env: Mapping[str, str] | None = None,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
    says_ready: bool = True,
) -> Iterator[Program]:
    """Run a program, one of ours that prints a JSON line when it is ready, and end it on leaving."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if says_ready else subprocess.DEVNULL,
        stderr=stderr,
    )
    try:
        ready = {}
        if says_ready:
            assert process.stdout
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"`{' '.join(command)}` ended before it was ready.")
            ready = json.loads(line)
        yield Program(process, ready)
    finally:
        assert process.stdin
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            for pid in reversed(family(process.pid)):
                with contextlib.suppress(OSError):
                    os.kill(pid, 9)
            process.wait()


@contextlib.contextmanager
def mock(*options: str) -> Iterator[Program]:
    """Run a mock engine."""
    with running([sys.executable, "-m", "benchmarks.load.mock", *options]) as program:
        yield program


def control(engine: Program, what: str, **body: Any) -> dict[str, int]:
    """Ask a mock engine for its counts ("counts"), to "reset" them, or for a "fault"; return its counts."""
    url = f"http://127.0.0.1:{engine.ready['control']}/{what}"
    counts: dict[str, int] = httpx.post(url, json=body, trust_env=False).json()
    return counts


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def wait_until_up(url: str, program: Program) -> None:
    """Wait until an address answers 200. Raises SystemExit when it never does."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline and program.alive():
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, timeout=2, trust_env=False).status_code == 200:
                return
        time.sleep(0.2)
    raise SystemExit(f"{url} did not come up.")


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) / _TICKS  # own and of children waited for


def _kb(pid: int, file: str, name: str) -> int:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0
