"""An endpoint that misbehaves on purpose, and what it is asked: clips whose answers are in their ids."""

from __future__ import annotations

import asyncio
import io
import re
import threading
import wave
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from evaluation.core import Example
from evaluation.registry import Dataset
from evaluation.systems import Patience, System
from tests.backend.fake_engine import Behaviour, Exchange, FakeEngine, says

QUICK = Patience(
    first_s=20, between_s=20, whole_s=60, tries=4, pause_s=0.01, longest_pause_s=0.02, give_up_after=5
)
SILENT_S = 0.2  # where a test waits for a time-out
MODEL = "tiny"

Script = Callable[[str, int], Behaviour]  # the clip's id, and the how manieth request about it (from 1)


class Scripted:
    """Answers each clip as its script says, and logs which clip was asked about. A context manager."""

    def __init__(self, script: Script | None = None) -> None:
        self.engine = FakeEngine(MODEL)
        self.script = script or (lambda clip, _: says(words(clip)))
        self.log: list[str] = []
        self.engine.default = self._behave
        self._asked: Counter[str] = Counter()

    def __enter__(self) -> Scripted:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.engine.shut_down()

    @property
    def url(self) -> str:
        return f"{self.engine.url}/v1"

    @property
    def bodies(self) -> list[Mapping[str, Any]]:
        """What was asked, as JSON."""
        return [exchange.json for exchange in self.engine.exchanges]

    def bodies_of(self, path: str) -> list[Mapping[str, Any]]:
        """What was asked at one path."""
        return [exchange.json for exchange in self.engine.exchanges if exchange.path == path]

    def forget(self) -> None:
        """Begin each clip's script anew."""
        self._asked.clear()
        self.log.clear()

    async def _behave(self, exchange: Exchange) -> None:
        clip = clip_of(exchange)
        self._asked[clip] += 1
        self.log.append(clip)
        await self.script(clip, self._asked[clip])(exchange)


class Budget:
    """So many whole answers; what is asked for then waits until its asker is gone."""

    def __init__(self, answers: int) -> None:
        self.left = answers
        self.spent = threading.Event()

    def of(self, behaviour: Behaviour) -> Behaviour:
        async def behave(exchange: Exchange) -> None:
            if not self.left:
                await exchange.until_left()
                return
            self.left -= 1
            await behaviour(exchange)
            if not self.left:
                self.spent.set()

        return behave


def clip_of(exchange: Exchange) -> str:
    """The clip that a request is about: its id stands in the question."""
    found = re.search(rb"clip-\d+", exchange.body)
    return found[0].decode() if found else ""


def words(clip: str) -> str:
    """What the endpoint hears in a clip: right in two of three."""
    number = int(clip.removeprefix("clip-") or 0)
    return f"clip number {number}" if number % 3 else f"clip {number}"


def reference(number: int) -> str:
    return f"clip number {number}"


def wav(seconds: float = 1.2, rate: int = 16_000, value: int | None = None) -> bytes:
    """A tone, or a constant."""
    count = round(seconds * rate)
    tone = np.full(count, value) if value is not None else 8_000 * np.sin(np.arange(count) * 0.1)
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(tone.astype("<i2").tobytes())
    return file.getvalue()


def examples(count: int, **more: Any) -> list[Example]:
    return [
        Example(
            **{
                "id": f"clip-{n}",
                "audio": wav(),
                "instruction": f"Write clip-{n} down.",
                "reference": reference(n),
            }
            | more
        )
        for n in range(count)
    ]


def system(endpoint: Scripted, **more: Any) -> System:
    row = {"id": "scripted", "title": "Scripted", "kind": "chat", "base_url": endpoint.url, "model": MODEL}
    return System(**{**row, "patience": QUICK, "start": "It runs within a test.", "concurrency": 4, **more})


def dataset(**more: Any) -> Dataset:
    row = {"id": "tiny_asr", "title": "Tiny", "table": 0, "row": "Tiny", "task": "asr", "metric": "wer"}
    return Dataset(**{**row, "licence": "none", **more})


def raw(*pieces: bytes, hold: bool = False) -> Behaviour:
    """These very bytes on the wire, head and all; then the end of the connection, or silence."""

    async def behave(exchange: Exchange) -> None:
        for piece in pieces:
            exchange.writer.write(piece)
            await exchange.writer.drain()
        if hold:
            await exchange.until_left()
        else:
            exchange.writer.close()

    return behave


def refuses_for(status: int, retry_after: str) -> Behaviour:
    """An HTTP error that says when to come back."""
    head = (
        f"HTTP/1.1 {status} X\r\nretry-after: {retry_after}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
    return raw(head.encode())


def in_turn(*behaviours: Behaviour) -> Script:
    """For every clip: the first request gets the first, and so on; then its words."""

    def script(clip: str, asked: int) -> Behaviour:
        return behaviours[asked - 1] if asked <= len(behaviours) else says(words(clip))

    return script


def goes_on_for_ever(piece: str) -> Behaviour:
    """An answer without an end."""

    async def behave(exchange: Exchange) -> None:
        await exchange.head()
        while not exchange.writer.is_closing():
            await exchange.token(piece)
            await asyncio.sleep(0)

    return behave


def sequence(values: Sequence[str]) -> Script:
    """The n-th clip is answered with the n-th value."""
    return lambda clip, _: says(values[int(clip.removeprefix("clip-"))])
