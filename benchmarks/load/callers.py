"""Callers as they are: they ask in every way, ask the same again, and some leave in the middle."""

from __future__ import annotations

import json
import random
import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

from benchmarks.load.answers import Tag
from benchmarks.load.questions import PATH, Host, Sound, chat, inline, reference
from benchmarks.load.rows import GREEDY, SAMPLED
from benchmarks.load.stream import Answer, Connection, Left

_CLIP_S = 3.0
_TIMEOUT_S = 120.0
_SAMPLED, _CLIP, _AGAIN, _LEAVES = 0.2, 0.2, 0.15, 0.08  # shares of the questions
_TOKENS, _GAP_MS = (1, 120), (2, 30)
_REMEMBERED = 50

Question = tuple[Tag, list[bytes], bool]  # with its body, and whether it is sampled


@dataclass
class Outcomes:
    """How questions ended: by kind, greedy or sampled, and by ending."""

    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    wrong: set[tuple[str, str]] = field(default_factory=set)

    def add(self, sampled: bool, ending: str, right: bool) -> None:
        """Count one."""
        kind = "sampled" if sampled else "greedy"
        self.counts[kind][ending] += 1
        if not right:
            self.wrong.add((kind, ending))


class Caller:
    """One of them, asking one question after another."""

    def __init__(
        self, number: int, seed: int, port: int, outcomes: Outcomes, asked: dict[str, deque[Question]]
    ) -> None:
        """Be one of two windows of a visitor, who asks the same in both at times; habits are seeded."""
        self._visitor = f"soak-visitor-{number // 2:08d}"
        self._name = f"c{number}x"
        self._dice = random.Random(f"{seed} {number}")
        self._host = Host("127.0.0.1", port)
        self._outcomes = outcomes
        self._asked = asked.setdefault(self._visitor, deque(maxlen=_REMEMBERED))
        self._sound = Sound(_CLIP_S)
        self._count = 0
        self._file = ""
        self._connection: Connection | None = None

    async def run(self, until: float) -> None:
        """Ask until that moment, by `time.monotonic()`."""
        await self._upload()
        while time.monotonic() < until:
            tag, body, sampled = self._question()
            leave = self._dice.randint(1, 40) if self._dice.random() < _LEAVES else 0
            await self._ask(tag, body, sampled, leave)
        if self._connection:
            self._connection.close()

    async def _upload(self) -> None:
        kind, form = self._sound.upload(0)
        connection = await self._open()
        reply = await connection.ask(self._host.post("/v1/files", [form], kind, self._visitor), _TIMEOUT_S)
        self._file = json.loads(reply.body)["id"]

    def _question(self) -> Question:
        if self._asked and self._dice.random() < _AGAIN:
            # Mostly the newest: the other window may still be reading its answer.
            return self._asked[-1] if self._dice.random() < 0.7 else self._dice.choice(self._asked)
        self._count += 1
        tag = Tag(f"{self._name}{self._count}", self._dice.randint(*_TOKENS), self._dice.randint(*_GAP_MS))
        sampled = self._dice.random() < _SAMPLED
        recording: list[bytes] = []
        if self._dice.random() < _CLIP:
            by_id = self._dice.random() < 0.5
            recording = reference(self._file) if by_id else inline(self._sound.base64(self._count))
        fields: dict[str, Any] = {**(SAMPLED if sampled else GREEDY), "max_tokens": 2_000}
        question = (tag, chat(tag, recording, **fields), sampled)
        self._asked.append(question)
        return question

    async def _ask(self, tag: Tag, body: list[bytes], sampled: bool, leave: int) -> None:
        try:
            connection = await self._open()
            answer = await connection.ask(
                self._host.post(PATH, body, visitor=self._visitor), _TIMEOUT_S, leave_after=leave
            )
        except Left:
            self._outcomes.add(sampled, "left on purpose", True)
        except (TimeoutError, OSError) as error:
            self._outcomes.add(sampled, type(error).__name__, False)
        else:
            self._judge(answer, tag, sampled)

    async def _open(self) -> Connection:
        if not self._connection or not self._connection.is_open:
            self._connection = await Connection.to(self._host.host, self._host.port)
        return self._connection

    def _judge(self, answer: Answer, tag: Tag, sampled: bool) -> None:
        wrong = answer.wrong(tag, odd=True)
        # A sampled answer cannot be asked anew from its middle. It may end with an error, which nobody takes
        # for an end, after words that are right as far as they go.
        clear = sampled and bool(answer.code) and tag.text(odd=True).startswith(answer.text)
        self._outcomes.add(sampled, wrong or "right", not wrong or clear)
