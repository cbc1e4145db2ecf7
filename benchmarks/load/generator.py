"""Sends the requests of one cell of a table and clocks them: a process of its own, told what to do on stdin.

Generator          # starts it, from the process that writes the table
python -m benchmarks.load.generator  # itself: a Cell as JSON a line in, a Result as JSON a line out
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

import uvloop

from benchmarks.load.answers import Tag
from benchmarks.load.processes import ROOT
from benchmarks.load.questions import PATH, Host, Sound, chat, inline, reference
from benchmarks.load.stream import Answer, Connection

_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Cell:
    """What to ask, how many at once, and how often: so many requests, or for so many seconds."""

    ports: tuple[int, ...]
    key: str = ""
    seconds: float = 0.0  # of sound; 0 is words alone
    by_reference: bool = False
    at_once: int = 1
    requests: int = 0
    for_s: float = 0.0
    same: bool = False  # every request is the first one again
    lot: int = 0  # cells with other numbers have other questions
    tokens: int = 20
    gap_ms: int = 0
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass
class Result:
    """What came of it. Times in ms; `spread` counts the reads that an answer came in."""

    first_ms: list[float] = field(default_factory=list)
    whole_ms: list[float] = field(default_factory=list)
    spread: list[int] = field(default_factory=list)
    wrong: dict[str, int] = field(default_factory=dict)
    wall_s: float = 0.0


class Generator:
    """The process, from outside."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Talk to a process that has been started."""
        self._process = process

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Generator]:
        """Start one and end it on leaving."""
        command = [sys.executable, "-m", "benchmarks.load.generator"]
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            yield cls(process)
            assert process.stdin
            process.stdin.close()

    def measure(self, cell: Cell) -> Result:
        """Do what a cell says. Raises SystemExit when the process has ended."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(asdict(cell)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("The process that sends the requests has ended; what it said is above.")
        return Result(**json.loads(line))


class _Asking:
    """One cell being measured."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._numbers = itertools.count()
        self.result = Result()
        self._wrong: Counter[str] = Counter()

    async def run(self) -> Result:
        """Connect, upload what is asked about by reference, then ask."""
        cell = self._cell
        callers = [await self._caller(number) for number in range(cell.at_once)]
        began = time.perf_counter()
        await asyncio.gather(*(self._ask_on(*caller, began) for caller in callers))
        self.result.wall_s = time.perf_counter() - began
        self.result.wrong = dict(self._wrong)
        for connection, *_ in callers:
            connection.close()
        return self.result

    async def _caller(self, number: int) -> tuple[Connection, Host, str, str]:
        cell = self._cell
        host = Host("127.0.0.1", cell.ports[number % len(cell.ports)], cell.key)
        # Only what is the same for all has one owner: what one visitor asked is never told to another.
        visitor = f"bench-visitor-{0 if cell.same else number:08d}"
        connection = await Connection.to(host.host, host.port)
        file = ""
        if cell.by_reference:
            kind, form = _sound(cell.seconds).upload(0 if cell.same else number + 1)
            reply = await connection.ask(host.post("/v1/files", [form], kind, visitor), _TIMEOUT_S)
            file = json.loads(reply.body)["id"]
        return connection, host, visitor, file

    async def _ask_on(
        self, connection: Connection, host: Host, visitor: str, file: str, began: float
    ) -> None:
        cell = self._cell
        while cell.requests or time.perf_counter() - began < cell.for_s:
            number = next(self._numbers)
            if cell.requests and number >= cell.requests:
                return
            tag, pieces = self._question(0 if cell.same else number, file)
            request = host.post(PATH, pieces, visitor=visitor)
            try:
                if not connection.is_open:
                    connection = await Connection.to(host.host, host.port)
                answer = await connection.ask(request, _TIMEOUT_S)
            except (TimeoutError, OSError) as error:
                self._wrong[type(error).__name__] += 1
                continue
            self._note(answer, tag)

    def _question(self, number: int, file: str) -> tuple[Tag, list[bytes]]:
        cell = self._cell
        tag = Tag(f"q{cell.lot}x{number}", cell.tokens, cell.gap_ms)
        recording: list[bytes] = []
        if file:
            recording = reference(file)
        elif cell.seconds:
            recording = inline(_sound(cell.seconds).base64(cell.lot * 1_000_000 + number))
        return tag, chat(tag, recording, **cell.fields)

    def _note(self, answer: Answer, tag: Tag) -> None:
        if wrong := answer.wrong(tag):
            self._wrong[wrong] += 1
            return
        self.result.first_ms.append(1_000 * (answer.first - answer.sent))
        self.result.whole_ms.append(1_000 * (answer.ended - answer.sent))
        self.result.spread.append(len(answer.moments))


@cache
def _sound(seconds: float) -> Sound:
    return Sound(seconds)


def main() -> None:
    """Measure cell after cell until stdin ends."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for line in sys.stdin:
            cell = json.loads(line)
            result = runner.run(_Asking(Cell(**{**cell, "ports": tuple(cell["ports"])})).run())
            print(json.dumps(asdict(result)), flush=True)


if __name__ == "__main__":
    main()
