"""A program and everything it starts: one group that is started, told and ended together."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from model.serve.shared_memory import Segments

GRACE = 15.0  # s to end after being asked
_POLL = 0.05  # s
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # from linux/prctl.h


class Group:
    """A running program in a process group of its own, its output on one pipe."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self._segments = Segments()
        prctl = _prctl()
        if prctl:
            # Grandchildren whose parent dies become ours, so that none can be lost.
            prctl(_PR_SET_CHILD_SUBREAPER, 1)
        self._process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in a terminal is for us; we pass it on
            # However we end, the program is told.
            preexec_fn=(lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)) if prctl else None,
        )
        assert self._process.stdout is not None
        self.output: IO[bytes] = self._process.stdout

    def poll(self) -> int | None:
        """The program's exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    def look(self) -> None:
        """Note the shared memory that its processes use now."""
        self._segments.look(self._members())

    def end(self, asked_with: int = signal.SIGTERM) -> None:
        """Ask every process to end, wait, kill the rest, and remove the shared memory they leave."""
        self.look()
        self._send(asked_with)
        end = time.monotonic() + GRACE
        while self._alive() and time.monotonic() < end:
            time.sleep(_POLL)
        while self._alive():
            self._send(signal.SIGKILL)
            time.sleep(_POLL)
        self._segments.remove()

    def kill(self) -> None:
        """End every process at once."""
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
        for pid in self._members():  # those that have left the group
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _alive(self) -> bool:
        """Whether any process is left; those that have ended are taken off the list."""
        if self._process.poll() is None:
            return True
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if self._members():
            return True
        try:
            os.killpg(self._process.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return not sys.platform.startswith("linux")  # there, _members knows better than a group of zombies

    def _members(self) -> list[int]:
        """Every process below this one, by /proc."""
        found, todo = [], [os.getpid()]
        while todo:
            for file in Path(f"/proc/{todo.pop()}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    todo += (below := [int(pid) for pid in file.read_text().split()])
                    found += below
        return found


def _prctl() -> ctypes._NamedFuncPointer | None:
    """Linux's prctl, looked up before any fork."""
    if not sys.platform.startswith("linux"):
        return None
    return ctypes.CDLL(None, use_errno=True).prctl
