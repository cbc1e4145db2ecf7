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
from backend.instance import Instance

EMBEDDED = (sys.executable, "-m", "model.embedded", "--port", "0")
_ROOT = Path(__file__).resolve().parent.parent
_FIRST_BACKOFF_S = 0.5
_LAST_BACKOFF_S = 10.0
_MOST_DOUBLINGS = 10  # beyond them is the last backoff anyway
_QUICK_S = 30.0  # an engine that lived longer than this did start; its end is a new trouble
_PATIENCE = 5  # quick failures in a row after which visitors are told, and no longer kept waiting
_CANNOT_START = 2  # the exit code that says: as things are, starting again will not help
_READY_S = 120.0
_GRACE_S = 2.5
_HUNG_LOOKS = (
    5  # in a row and in vain, half a minute or so; counted, so that a clock that leaps kills nothing
)
_GUARD_S = 0.5  # between the guard's looks at that count
_PLACES = 4  # as many as the engine itself works on side by side, unless the environment says otherwise


class Engine:
    """One embedded engine, kept running; `instance` says where it is and whether it is up."""

    def __init__(self, command: Sequence[str], instance: Instance, *, hung_looks: int = _HUNG_LOOKS) -> None:
        """After `hung_looks` that it did not answer it is killed and started again."""
        self.instance = instance
        self._command = command
        self._hung_looks = hung_looks
        self._process: Process | None = None
        self._last_words = ""
        self._again = asyncio.Event()  # somebody wants it started anew

    def restart(self) -> None:
        """End the engine, or the pause before its next start, and start it again."""
        self._again.set()

    async def run(self) -> None:
        """Keep the engine running until cancelled; then end it."""
        failures = 0
        try:
            while True:
                started = time.monotonic()
                code = await self._run_once()  # None where it could not even be started
                if self._again.is_set():
                    self._start_again()
                    failures = 0
                    continue
                failures = 1 if time.monotonic() - started > _QUICK_S else failures + 1
                hopeless = failures >= _PATIENCE or code == _CANNOT_START
                reason = self._last_words or f"The engine stopped with exit code {code}."
                self.instance.url = None
                self.instance.unanswered = 0
                self.instance.set("down" if hopeless else "starting", reason)
                logs.event(
                    "engine stopped" if code is not None else "engine not started",
                    level=logging.ERROR,
                    status=code,
                    count=failures,
                    reason=reason if code is None else None,
                )
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._again.wait(), _backoff_s(failures))
                    self._start_again()
                    failures = 0
        finally:
            await self._end()

    def _start_again(self) -> None:
        self._again.clear()
        self.instance.url = None
        self.instance.unanswered = 0
        self.instance.set("starting", "The host has it started again.")
        logs.event("engine restarted")

    async def _end_when_asked(self) -> None:
        await self._again.wait()
        await self._end()

    async def _run_once(self) -> int | None:
        """Start the engine and return its exit code, or None where the system does not start it."""
        self._last_words = ""
        try:
            self._process = process = await self._spawn()
        except OSError as error:
            why = error.strerror or type(error).__name__
            self._last_words = f"The engine could not be started: {why}. It is tried again."
            return None
        logs.event("engine started", pid=process.pid)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read_stderr(process))
            group.create_task(self._read_stdout(process))
            guards = [
                group.create_task(self._kill_when_hung(process)),
                group.create_task(self._end_when_asked()),
            ]
            code = await process.wait()
            for guard in guards:
                guard.cancel()
            return code

    async def _spawn(self) -> Process:
        return await asyncio.create_subprocess_exec(
            *self._command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            cwd=_ROOT,
            env={**os.environ, "MERALION_EXIT_WITH_PARENT": "1"},
            limit=2**20,
            start_new_session=True,  # Ctrl-C in a terminal is for us; we end the engine
        )

    async def _kill_when_hung(self, process: Process) -> None:
        while self.instance.unanswered < self._hung_looks:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(_GUARD_S)
        self._last_words = "The engine did not respond any more and is being started again."
        logs.event("engine hung", level=logging.ERROR, pid=process.pid)
        process.kill()

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


def places() -> int:
    """Return how many requests the embedded engine works on at once, so that others wait here, in turns."""
    said = os.environ.get("MERALION_ENGINE_MAX_RUNNING", "")
    return int(said) if said.isdecimal() and int(said) else _PLACES


async def _line(stream: asyncio.StreamReader) -> str:
    """Read one line, empty at the end of the stream; one that is too long is skipped."""
    while True:
        try:
            return (await stream.readline()).decode("utf-8", "replace")
        except ValueError:
            continue


def _backoff_s(failures: int) -> float:
    return min(_FIRST_BACKOFF_S * 2.0 ** min(failures - 1, _MOST_DOUBLINGS), _LAST_BACKOFF_S)


def _ready_url(line: str) -> str | None:
    try:
        said = json.loads(line)
        return f"http://{said['host']}:{int(said['port'])}" if said["event"] == "ready" else None
    except (ValueError, KeyError, TypeError):
        return None
