"""Starts the embedded engine as a child, watches it, and starts it again when it dies.

The child ends with this process, however that ends: its stdin is a pipe from here, and it leaves when that
closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path

from backend import logs
from backend.balancer import Instance

EMBEDDED = (sys.executable, "-m", "model.embedded", "--port", "0")
_ROOT = Path(__file__).resolve().parent.parent
_FIRST_BACKOFF_S = 0.5
_LAST_BACKOFF_S = 10.0
_QUICK_S = 30.0  # an engine that lived longer than this did start; its end is a new trouble
_PATIENCE = 5  # quick failures in a row after which visitors are told, and no longer kept waiting
_CANNOT_START = 2  # the exit code that says: as things are, starting again will not help
_READY_S = 120.0
_GRACE_S = 2.5


class Engine:
    """One embedded engine, kept running; `instance` says where it is and whether it is up."""

    def __init__(self, command: Sequence[str] = EMBEDDED) -> None:
        self.instance = Instance("embedded", supervised=True)
        self._command = command
        self._process: Process | None = None
        self._last_words = ""

    async def run(self) -> None:
        """Keep the engine running until cancelled; then end it."""
        failures = 0
        try:
            while True:
                started = time.monotonic()
                code = await self._run_once()
                failures = 1 if time.monotonic() - started > _QUICK_S else failures + 1
                hopeless = failures >= _PATIENCE or code == _CANNOT_START
                reason = self._last_words or f"The engine stopped with exit code {code}."
                self.instance.url = None
                self.instance.set("down" if hopeless else "starting", reason)
                logs.event("engine stopped", level=logging.ERROR, status=code, count=failures)
                await asyncio.sleep(min(_FIRST_BACKOFF_S * 2 ** (failures - 1), _LAST_BACKOFF_S))
        finally:
            await self._end()

    async def _run_once(self) -> int:
        """Start the engine and return its exit code."""
        self._last_words = ""
        self._process = process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            cwd=_ROOT,
            env={**os.environ, "MERALION_EXIT_WITH_PARENT": "1"},
            limit=2**20,
            start_new_session=True,  # Ctrl-C in a terminal is for us; we end the engine
        )
        logs.event("engine started", pid=process.pid)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read_stderr(process))
            group.create_task(self._read_stdout(process))
            return await process.wait()

    async def _read_stdout(self, process: Process) -> None:
        """Wait for the line that says where the engine listens, then read on so that its pipe never fills."""
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_READY_S):
                while line := await _line(process.stdout):
                    if url := _ready_url(line):
                        self.instance.url = url
                        self.instance.set("starting", "The engine has started and is being checked.")
                        break
        except TimeoutError:
            self._last_words = f"The engine did not start within {_READY_S:g} seconds."
            process.kill()
        while await process.stdout.read(2**16):
            pass

    async def _read_stderr(self, process: Process) -> None:
        """Pass the engine's log on to ours, and remember its last plain sentence: why it cannot start."""
        assert process.stderr is not None
        while line := await _line(process.stderr):
            sys.stderr.write(line)
            sys.stderr.flush()
            plain = line.strip()
            if plain and not plain.startswith("{"):
                self._last_words = plain[:400]

    async def _end(self) -> None:
        """Close the engine's stdin, wait a little, then kill it."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(_GRACE_S):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _line(stream: asyncio.StreamReader) -> str:
    """Read one line, empty at the end of the stream; one that is too long is skipped."""
    while True:
        try:
            return (await stream.readline()).decode("utf-8", "replace")
        except ValueError:
            continue


def _ready_url(line: str) -> str | None:
    try:
        said = json.loads(line)
        return f"http://{said['host']}:{int(said['port'])}" if said["event"] == "ready" else None
    except (ValueError, KeyError, TypeError):
        return None
