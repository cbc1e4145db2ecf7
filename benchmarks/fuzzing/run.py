"""One run: connections that send one request after another, while schemathesis sends its own beside them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.fuzzing import corpus, forms, judge
from benchmarks.fuzzing.line import Answer, Line
from benchmarks.fuzzing.message import CHAT, FILES, JSON, VISITORS, Message, post, usual
from benchmarks.fuzzing.plan import Plan
from benchmarks.fuzzing.schema import Schema
from benchmarks.fuzzing.tally import Tally
from benchmarks.load import processes
from benchmarks.load.memory import Memory
from benchmarks.load.processes import Program
from benchmarks.load.questions import MODEL

_TELLS_S = 10.0


class Canary:
    """A port of this machine where nobody may come: it counts who does."""

    def __init__(self) -> None:
        """Listen."""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.count = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> Self:
        """Be there."""
        return self

    def __exit__(self, *_: object) -> None:
        """Go."""
        self._socket.close()

    def _listen(self) -> None:
        while True:
            try:
                visitor, _ = self._socket.accept()
            except OSError:
                return
            self.count += 1
            visitor.close()


@dataclass
class House:
    """The controller that is asked."""

    port: int
    program: Program
    canary: Canary
    log: Path


class Decoders(Memory):
    """The memory of the controller's children that no other process shares with them."""

    def sample(self) -> None:
        """Take one."""
        children = processes.family(self.program.pid)[1:]
        self.samples.append((time.monotonic() - self._began, sum(map(_anonymous_mb, children))))


class Run:
    """Sends, judges, counts."""

    def __init__(self, house: House, failures: Path) -> None:
        """Ask this controller; keep what fails in a folder."""
        self._house = house
        self.tally = Tally(failures)
        self.memory = Memory(house.program)
        self.decoders = Decoders(house.program)
        self.seconds = 0.0
        self.afterwards = ""
        self.is_well = False
        self._files: dict[int, str] = {}  # the newest of each visitor

    def go(self, plan: Plan, wanted: int, of_schema: int, seed: int, at_once: int) -> None:
        """Send so many of the plan, and so many of schemathesis's."""
        asyncio.run(self._go(plan, wanted, of_schema, seed, at_once))

    def show(self, message: Message) -> int:
        """Send one request and print what came; 1 when it was wrong."""
        answer, wrong = asyncio.run(self._show(message))
        print(
            f"{message.kind}, {message.framing} HTTP, {len(message.raw):,} bytes\n{message.raw[:2_000]!r}\n"
        )
        print(
            f"{answer.status or 'closed'} in {answer.seconds:.2f} s {answer.headers}\n{answer.body[:2_000]!r}"
        )
        print(wrong or "right")
        return int(bool(wrong))

    async def _go(self, plan: Plan, wanted: int, of_schema: int, seed: int, at_once: int) -> None:
        began = time.monotonic()
        watches = (self.memory.watch(), self.decoders.watch(), self._tell())
        tasks = [asyncio.create_task(watch) for watch in watches]
        numbers = iter(range(wanted))
        schema = asyncio.to_thread(self._schema, of_schema, seed)
        await asyncio.gather(schema, *(self._worker(plan, numbers) for _ in range(at_once)))
        self.seconds = time.monotonic() - began
        for task in tasks:
            task.cancel()
        self.memory.sample()
        self.decoders.sample()
        await self._ask_afterwards()

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(_TELLS_S)
            (seconds, alone_mb), (_, decoders_mb) = self.memory.samples[-1], self.decoders.samples[-1]
            told = f"{seconds:6.0f} s {self.tally.requests:9,} requests"
            print(f"{told} {alone_mb:6.1f} and {decoders_mb:6.1f} MB", file=sys.stderr)

    def _schema(self, wanted: int, seed: int) -> None:
        if wanted:
            sound = corpus.load().audio["mono_16.wav"]
            Schema(self._house.port, self.tally, sound, seed).run(wanted)

    async def _worker(self, plan: Plan, numbers: Iterator[int]) -> None:
        line = Line(self._house.port)
        for number in numbers:
            message = plan.message(number)
            await self._send(line, message)
        await line.close()

    async def _send(self, line: Line, message: Message) -> tuple[Answer, str]:
        file_id = self._files.get(message.number % VISITORS, "")
        raw = message.filled(file_id, self._house.canary.port)
        answer = await line.ask(message, raw)
        wrong = judge.wrong(message, answer)
        name = str(message.number)
        self.tally.add(message.kind, name, answer.status, judge.code_of(answer), answer.seconds)
        if wrong:
            self.tally.fail(name, wrong, raw, b"%d " % answer.status + answer.body)
        if answer.status == 200 and answer.body.startswith(b'{"id":"file-'):
            self._files[message.number % VISITORS] = json.loads(answer.body)["id"]
        return answer, wrong

    async def _show(self, message: Message) -> tuple[Answer, str]:
        line = Line(self._house.port)
        upload = corpus.load().forms["upload.form"]
        uploaded = post(FILES, upload, usual(message.number, forms.kind_of()))
        await self._send(line, Message(message.number, "file", uploaded))
        shown = await self._send(line, message)
        await line.close()
        return shown

    async def _ask_afterwards(self) -> None:
        """Ask something that has an answer, in each way of asking."""
        line, told = Line(self._house.port), []
        numbers = itertools.count(10**9)
        for streamed in (False, True):
            asked = {"model": MODEL, "stream": streamed, "messages": [{"role": "user", "content": "Well?"}]}
            number = next(numbers)
            message = Message(number, "last", post(CHAT, json.dumps(asked).encode(), usual(number, JSON)))
            answer = await line.ask(message, message.raw)
            told.append(answer.status == 200 and not judge.wrong(message, answer))
        await line.close()
        self.is_well = all(told)
        self.afterwards = "answered" if self.is_well else "not answered"


def _anonymous_mb(pid: int) -> float:
    """What a process has of its own, its programs and libraries left out."""
    with contextlib.suppress(OSError):
        found = re.search(r"^RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        return int(found[1]) / 1_024 if found else 0.0
    return 0.0
