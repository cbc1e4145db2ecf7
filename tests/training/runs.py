"""Preparations in processes of their own, to be killed."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
DEADLINE = 300  # s
CONFIG = """
out: {out}
sources:
  - {{corpus: nsc-1, folder: "{delivered}/PART1"}}
  - {{corpus: nsc-3, folder: "{delivered}/PART3"}}
splits: {{dev: 0.1, test: 0.1}}
shard_mb: {shard_mb}
"""


def start(
    out: Path, delivered: Path, engine: str, cpus: int = 2, shard_mb: int = 1
) -> subprocess.Popen[bytes]:
    """Start a preparation in a process group of its own."""
    out.parent.mkdir(exist_ok=True)
    config = out.with_suffix(".yaml")
    # A path from the folder of the run, so that runs into folders of one name say the same of themselves.
    config.write_text(CONFIG.format(out=out.name, delivered=delivered, shard_mb=shard_mb))
    command = [sys.executable, "-m", "training.data.prepare", "--config", str(config)]
    settings = ["--set", f"machine.engine={engine}", "--set", f"machine.cpus={cpus}"]
    return subprocess.Popen(
        [*command, *settings],
        cwd=out.parent,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


@contextmanager
def on_ray(out: Path, delivered: Path, shard_mb: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """A run on Ray that is gone afterwards, with all that it started."""
    process = start(out, delivered, "ray", shard_mb=shard_mb)
    try:
        yield process
    finally:
        if process.poll() is None:
            kill(process)


def reach(process: subprocess.Popen[bytes], folder: Path, files: int) -> None:
    """Wait until a folder holds so many finished files."""
    until(process, lambda: folder.exists() and sum(1 for f in folder.iterdir() if f.name[0] != ".") >= files)


def until(process: subprocess.Popen[bytes], reached: Callable[[], bool]) -> None:
    """Wait until something is so, while the process runs."""
    end = time.monotonic() + DEADLINE
    while not reached():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.005)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a run as a power cut does, and see that nothing of it lives on."""
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive, [other.cmdline() for other in alive]


def lose_a_worker(process: subprocess.Popen[bytes], at: Path) -> str:
    """Kill the worker that is at a unit, and say which unit that was."""
    busy: list[str] = []

    def working() -> bool:
        for note in at.iterdir() if at.exists() else ():
            with suppress(OSError, ValueError, IndexError):  # done in the meantime, or just begun
                os.kill(int(note.read_text().split()[-1]), signal.SIGKILL)
                busy.append(note.name)
                return True
        return False

    until(process, working)
    return busy[0]


def contents(folder: Path) -> dict[str, str]:
    """The hash of each file that belongs to a corpus."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and "work" not in path.parts]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
