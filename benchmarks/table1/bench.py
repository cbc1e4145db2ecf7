"""The whole bench: transformers and the endpoint in turn at every length, then the second questions."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.table1.cells import MEASURED, WARM, WARM_TOKENS, Loop, lot
from benchmarks.table1.clips import Clips
from benchmarks.table1.document import Run
from benchmarks.table1.endpoint import Endpoint, settle
from benchmarks.table1.figures import Cell
from benchmarks.table1.progress import Progress
from benchmarks.table1.second_ask import SecondAsk, ask_twice

if TYPE_CHECKING:
    from benchmarks.table1.transformers_alone import TransformersAlone

QUESTION = "Please transcribe this speech."
PROBE_TOKENS = 2


@dataclass(frozen=True)
class Plan:
    """What is asked, and how often."""

    seconds: tuple[float, ...]  # of audio
    concurrency: tuple[int, ...]  # requests at once
    trials: int  # requests a cell
    tokens: int  # in every answer
    seed: int  # of the clips
    alone_trials: int = 0  # clips of each length that transformers hears, at most those of a cell
    pairs: int = 0  # first and second questions at each length

    @property
    def audio(self) -> float:
        """Seconds that will be sent, warm-ups included."""
        each = sum(self.trials + concurrency for concurrency in self.concurrency)
        return sum(self.seconds) * (each + self.alone_trials + self.pairs)


class Bench:
    """Carries a plan out against one endpoint."""

    def __init__(self, plan: Plan, endpoint: Endpoint, alone: TransformersAlone | None = None) -> None:
        """`alone` is timed on the same clips."""
        self._plan = plan
        self._endpoint = endpoint
        self._alone = alone
        self._clips = Clips(plan.seed)
        self._progress = Progress(plan.audio)

    async def measure(self, run: Run) -> None:
        """Fill `run`; cancelled, it keeps what there is. Raises BenchError when the first request fails."""
        probe = self._clips.wav(self._plan.seconds[0], *lot(WARM, 0, 0))
        await self._endpoint.probe(probe, QUESTION, PROBE_TOKENS)
        try:
            await self._fill_cells(run)
            if self._plan.pairs:
                await self._ask_twice(run)
        except asyncio.CancelledError:
            run.stopped = True
        finally:
            self._progress.end()

    async def _fill_cells(self, run: Run) -> None:
        loop = Loop(self._endpoint, self._clips, QUESTION, self._plan.tokens)
        before = await self._endpoint.cache_counts()
        for seconds in self._plan.seconds:
            if self._alone:
                await self._time_alone(run, self._alone, seconds)
            for concurrency in self._plan.concurrency:
                self._progress.begin(f"{seconds:g} s x {concurrency}")
                cell = Cell(seconds, concurrency, self._plan.trials, self._plan.tokens)
                run.cells.append(cell)
                await loop.run(cell, partial(self._progress.tick, seconds))
        if before is not None:
            await settle()
            after = await self._endpoint.cache_counts()
            if after is not None:
                run.cache = Counter({name: int(after[name] - before.get(name, 0)) for name in after})

    async def _time_alone(self, run: Run, alone: TransformersAlone, seconds: float) -> None:
        """The clips of the first cell of this length, one by one, in a thread so that Ctrl-C is heard."""
        self._progress.begin(f"transformers, {seconds:g} s")
        timings = run.alone[seconds] = []
        warm = self._clips.pcm(seconds, *lot(WARM, 0, 1))
        await asyncio.to_thread(alone.time, warm, QUESTION, min(self._plan.tokens, WARM_TOKENS))
        for trial in range(self._plan.alone_trials):
            pcm = self._clips.pcm(seconds, *lot(MEASURED, self._plan.concurrency[0], trial))
            timings.append(await asyncio.to_thread(alone.time, pcm, QUESTION, self._plan.tokens))
            self._progress.tick(seconds)

    async def _ask_twice(self, run: Run) -> None:
        for seconds in self._plan.seconds:
            self._progress.begin(f"{seconds:g} s, asked twice")
            asks = SecondAsk(seconds)
            run.twice.append(asks)
            tick = partial(self._progress.tick, seconds)
            await ask_twice(self._endpoint, self._clips, QUESTION, asks, self._plan.pairs, tick)
