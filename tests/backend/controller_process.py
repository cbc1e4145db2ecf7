"""`python -m backend` as a process with its own memory, files and end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.backend.test_start import ROOT, Process


def begun(
    stack: contextlib.ExitStack, log: Path, before: Sequence[str] = (), **settings: object
) -> subprocess.Popen[bytes]:
    """Begin to start a controller with these settings alone; it ends with the stack.

    `before` is a command that becomes the one it is given.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MERALION_")}
    popen = subprocess.Popen(
        [*before, sys.executable, "-m", "backend"],
        stdout=subprocess.PIPE,
        stderr=stack.enter_context(log.open("wb")),
        cwd=ROOT,
        env=kept | {f"MERALION_{name.upper()}": str(value) for name, value in settings.items()},
    )
    stack.enter_context(popen)
    stack.callback(popen.kill)
    return popen


def ready(stack: contextlib.ExitStack, popen: subprocess.Popen[bytes], log: Path) -> Process:
    """Wait until it listens."""
    process = Process(popen, log)
    stack.callback(process.client.close)
    return process
