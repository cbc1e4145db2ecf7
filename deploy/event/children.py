"""One program that the kit keeps running: started again when it dies, ended with the kit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.5, 10.0
_STEADY_S = 30.0  # one that lived for longer did start; its end is a new trouble
_GRACE_S = 8.0
_LOG_BYTES = 4 * 2**20  # of one file; the one before is kept beside it
LEASH = (sys.executable, "-m", "deploy.event.leash")


@dataclass
class Child:
    """A program by name; `say` tells the host in a sentence what became of it."""

    title: str  # as a sentence begins: "The pages"
    command: Sequence[str]
    log: Path
    say: Callable[[str], None]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    kept_open: tuple[int, ...] = ()  # files that it holds open with us
    pid: int | None = None
    _last_words: str = ""

    async def run(self) -> None:
        """Keep it running until cancelled; then end it."""
        failures = 0
        while True:
            began = time.monotonic()
            code = await self._once()
            failures = 1 if time.monotonic() - began > _STEADY_S else failures + 1
            killed = code < 0  # and what it said last is then no reason
            how = f"was killed ({signal.Signals(-code).name})" if killed else f"stopped (exit code {code})"
            why = f" Its last word: {self._last_words}" if self._last_words and not killed else ""
            self.say(f"{self.title} {how} and is being started again.{why}")
            await asyncio.sleep(min(_FIRST_PAUSE_S * 2.0 ** min(failures - 1, 10), _LAST_PAUSE_S))

    async def _once(self) -> int:
        self._last_words = ""
        process = await asyncio.create_subprocess_exec(
            *self.command,
            stdin=PIPE,  # whose end is the end of us, however that comes
            stdout=PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=ROOT,
            env=dict(self.environment),
            start_new_session=True,  # Ctrl-C in a terminal is for us; we end our children
            pass_fds=self.kept_open,
            limit=2**20,
        )
        self.pid = process.pid
        try:
            assert process.stdout is not None
            with _Log(self.log) as log:
                async for line in _lines(process.stdout):
                    log.write(line)
                    plain = line.decode("utf-8", "replace").strip()
                    if plain and not plain.startswith("{"):
                        self._last_words = plain[:300]
            return await process.wait()
        finally:
            self.pid = None
            await _end(process)


class _Log:
    """A file that is put aside when it is full."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> _Log:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, line: bytes) -> None:
        """Write one line; a full disk costs the line and nothing else."""
        with contextlib.suppress(OSError):
            if self._file.tell() > _LOG_BYTES:
                self._file.close()
                self._path.replace(self._path.with_suffix(".old.log"))
                self._open()
            self._file.write(line)

    def _open(self) -> None:
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._file = os.fdopen(handle, "ab", buffering=0)


async def _lines(stream: asyncio.StreamReader) -> AsyncGenerator[bytes]:
    while True:
        try:
            line = await stream.readline()
        except ValueError:  # longer than anybody reads
            continue
        if not line:
            return
        yield line


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    assert process.stdin is not None
    process.stdin.close()
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_GRACE_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
