"""A closed loop: so many requests in flight, never more; where one ends, the next begins."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.table1.clips import Clips
from benchmarks.table1.endpoint import Endpoint, Refused
from benchmarks.table1.figures import Cell

WARM_TOKENS = 16  # of a warm-up answer: enough for every connection and every compiled batch size
MEASURED, WARM, SECOND = range(3)  # parts of a clip's lot, so that no part shares a clip with another


def lot(part: int, concurrency: int, trial: int) -> tuple[int, int, int]:
    """What tells a trial's clip from all others of its length."""
    return part, concurrency, trial


class Loop:
    """Fills cells from one endpoint."""

    def __init__(self, endpoint: Endpoint, clips: Clips, question: str, tokens: int) -> None:
        """`tokens` in every answer."""
        self._endpoint = endpoint
        self._clips = clips
        self._question = question
        self._tokens = tokens

    async def run(self, cell: Cell, tick: Callable[[], None]) -> None:
        """Warm up, then measure into `cell`, which holds what was done so far whenever this is cancelled.

        A cell whose warm-up fails altogether is not measured: its trials all count as failed for that reason.
        """
        async with self._requests(cell) as (warm, measured):
            refused = await self._warm_up(warm, tick)
            if len(refused) == cell.concurrency:
                cell.failures[f"in the warm-up already: {refused[0]}"] += cell.trials
                return
            cell.began = cell.ended = time.perf_counter()
            trials = iter(measured)
            await _together([self._work(cell, trials, tick) for _ in range(cell.concurrency)])

    @asynccontextmanager
    async def _requests(self, cell: Cell) -> AsyncGenerator[tuple[list[Path], list[Path]], None]:
        """The bodies of all requests, made before the clock runs, in files: 120 of 2 min are 600 MB."""
        folder = Path(tempfile.mkdtemp(prefix="serving-"))
        try:
            warm = [
                await asyncio.to_thread(self._write, folder, cell, WARM, number)
                for number in range(cell.concurrency)
            ]
            measured = [
                await asyncio.to_thread(self._write, folder, cell, MEASURED, number)
                for number in range(cell.trials)
            ]
            yield warm, measured
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _write(self, folder: Path, cell: Cell, part: int, trial: int) -> Path:
        wav = self._clips.wav(cell.seconds, *lot(part, cell.concurrency, trial))
        tokens = min(self._tokens, WARM_TOKENS) if part == WARM else self._tokens
        file = folder / f"{part}-{trial}.json"
        file.write_bytes(self._endpoint.body(wav, self._question, tokens))
        return file

    async def _warm_up(self, bodies: list[Path], tick: Callable[[], None]) -> list[str]:
        """Ask all at once; the reasons of those that failed."""
        refused: list[str] = []

        async def one(file: Path) -> None:
            try:
                await self._endpoint.ask(await asyncio.to_thread(file.read_bytes))
            except Refused as error:
                refused.append(str(error))
            tick()

        await _together([one(file) for file in bodies])
        return refused

    async def _work(self, cell: Cell, trials: Iterator[Path], tick: Callable[[], None]) -> None:
        for file in trials:
            body = await asyncio.to_thread(file.read_bytes)
            try:
                cell.timings.append(await self._endpoint.ask(body))
            except Refused as error:
                cell.failures[str(error)] += 1
            cell.ended = time.perf_counter()
            tick()


async def _together(work: list[Coroutine[None, None, None]]) -> None:
    """All at once; one that fails ends the others."""
    async with asyncio.TaskGroup() as group:
        for one in work:
            group.create_task(one)
