"""Questions to real engines, and the times of their answers."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from benchmarks.capacity.fit import Cell
from benchmarks.load.questions import PATH, Host
from benchmarks.load.stream import Connection
from benchmarks.table1.clips import Clips

TIMEOUT_S = 90.0
WORDINGS = (
    "Please summarise this recording.",
    "Give me a summary of this recording.",
    "Summarise this clip in two sentences.",
    "Please give a short summary.",
    "What is this recording about? Summarise it.",
)
_PIECE = re.compile(rb'"content": ?"[^"]')


@dataclass(frozen=True)
class Sound:
    """A recording as it is sent."""

    data: bytes
    format: str = "wav"


@dataclass(frozen=True)
class Answer:
    """One answer. Times are `time.perf_counter()` s; `tokens` counts the stream's pieces of text."""

    sent: float
    first: float
    ended: float
    tokens: int
    fate: str  # what the controller's cache says of it
    instance: str

    @property
    def ttft_s(self) -> float:
        """To the first word."""
        return self.first - self.sent

    @property
    def whole_s(self) -> float:
        """To the end of the stream."""
        return self.ended - self.sent


class Failed(Exception):
    """A question got no whole answer; the message says how it ended."""


async def ask(host: Host, model: str, sound: Sound, words: str, tokens: int, visitor: str = "") -> Answer:
    """Ask about a sound and read the answer to its end. Raises Failed."""
    clip = {"data": base64.b64encode(sound.data).decode(), "format": sound.format}
    parts = [{"type": "input_audio", "input_audio": clip}, {"type": "text", "text": words}]
    body = {
        "model": model,
        "stream": True,
        "temperature": 0,
        "max_tokens": tokens,
        "messages": [{"role": "user", "content": parts}],
    }
    pieces = host.post(PATH, [json.dumps(body).encode()], visitor=visitor)
    try:
        connection = await Connection.to(host.host, host.port)
        try:
            answer = await connection.ask(pieces, TIMEOUT_S)
        finally:
            connection.close()
    except (TimeoutError, OSError) as error:
        raise Failed(type(error).__name__) from error
    if answer.status != 200 or answer.code or not answer.whole:
        raise Failed(f"status {answer.status} {answer.code}".rstrip())
    if not answer.first:
        raise Failed("no word")
    found = answer.headers
    return Answer(
        answer.sent,
        answer.first,
        answer.ended,
        len(_PIECE.findall(answer.body)),
        found.get("x-meralion-cache", ""),
        found.get("x-meralion-instance", ""),
    )


@dataclass(frozen=True)
class Measured:
    """What a calibration found: cells for the fit, and each lone request's length and time for the spread."""

    cells: tuple[Cell, ...]
    alone: tuple[tuple[float, float], ...]  # s of sound, s to the first token

    def and_also(self, other: Measured) -> Measured:
        """Return the means of two calibrations of the same cells."""
        cells = tuple(
            replace(
                one,
                ttft_ms=(one.ttft_ms + two.ttft_ms) / 2,
                itl_ms=(one.itl_ms + two.itl_ms) / 2,
                trials=one.trials + two.trials,
            )
            for one, two in zip(self.cells, other.cells, strict=True)
        )
        return Measured(cells, self.alone + other.alone)


async def measure(
    hosts: Sequence[Host],
    model: str,
    lengths: Sequence[float],
    at_once: Sequence[int],
    trials: int,
    tokens: int,
    seed: int,
) -> Measured:
    """Measure engines side by side, as they will be used. Raises Failed."""
    clips = Clips(seed)
    cells: list[Cell] = []
    alone: list[tuple[float, float]] = []
    for host in hosts:
        await ask(host, model, Sound(clips.wav(4.0, 0)), WORDINGS[0], tokens)  # a first request is slow
    lot = 1
    for seconds in lengths:
        for many in at_once:
            sounds = [
                [Sound(clips.wav(seconds, lot + number, which)) for number in range(trials)]
                for which in range(len(hosts))
            ]
            lot += trials
            answers = await _cell(hosts, model, sounds, WORDINGS[0], many, tokens)
            cells.append(_row(seconds, many, answers, trials, warm=False))
            if many == 1:
                alone += [(seconds, one.ttft_s) for one in answers]
                again = [some[-trials // 2 :] for some in sounds]
                answers = await _cell(hosts, model, again, WORDINGS[1], 1, tokens)
                cells.append(_row(seconds, 1, answers, trials, warm=True))
    return Measured(tuple(cells), tuple(alone))


def _row(seconds: float, at_once: int, answers: Sequence[Answer], trials: int, *, warm: bool) -> Cell:
    pace = [(one.ended - one.first) / (one.tokens - 1) for one in answers if one.tokens > 1]
    return Cell(
        seconds,
        at_once,
        1_000 * fmean(one.ttft_s for one in answers),
        1_000 * fmean(pace),
        round(fmean(one.tokens for one in answers)),
        trials,
        warm,
    )


async def _cell(
    hosts: Sequence[Host],
    model: str,
    sounds: Sequence[Sequence[Sound]],
    words: str,
    at_once: int,
    tokens: int,
) -> list[Answer]:
    answers: list[Answer] = []

    async def go_on(host: Host, left: list[Sound]) -> None:
        while left:
            answers.append(await ask(host, model, left.pop(), words, tokens))

    async with asyncio.TaskGroup() as group:
        for host, some in zip(hosts, sounds, strict=True):
            left = list(some)
            for _ in range(at_once):
                group.create_task(go_on(host, left))
    return answers
