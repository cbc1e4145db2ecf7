"""What every gateway is asked to do, a row each, and what came of it."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from benchmarks.load import processes
from benchmarks.load.gateways import LITELLM, OURS, Gateway
from benchmarks.load.generator import Cell, Generator, Result
from benchmarks.load.processes import Program

SAMPLED = {"temperature": 0.7}  # nobody may keep or share such an answer
GREEDY = {"temperature": 0}


@dataclass(frozen=True)
class Row:
    """One kind of load; `cell` lacks only where to send it."""

    name: str
    cell: Cell
    only: tuple[str, ...] = ()  # gateways; all where it names none


TEXT = Row("text", Cell((), requests=60, fields=SAMPLED))
CLIP = Row("30 s inline", Cell((), seconds=30, requests=40, fields=SAMPLED))
GREEDY_CLIP = Row("30 s inline, greedy", Cell((), seconds=30, requests=40, fields=GREEDY))
BY_REFERENCE = Row("30 s by reference", replace(CLIP.cell, by_reference=True), (OURS,))
LONG_CLIP = Row("2 min inline", Cell((), seconds=120, requests=15, fields=SAMPLED))
MANY_TEXTS = Row("text, 32 at once", Cell((), at_once=32, for_s=3, fields=SAMPLED))
MANY_CLIPS = Row("30 s inline, 16 at once", Cell((), seconds=30, at_once=16, for_s=3, fields=SAMPLED))
SLOW_TEXTS = Row(
    "text, 32 at once, 5 ms between tokens", Cell((), at_once=32, for_s=3, gap_ms=5, fields=SAMPLED)
)
# LiteLLM keeps answers only for who asks it to, so that its cache does not burden its other rows.
HIT = Row(
    "asked again, 30 s inline",
    Cell((), seconds=30, requests=30, same=True, fields=GREEDY),
    (OURS, LITELLM),
)
HIT_BY_REFERENCE = Row("asked again, 30 s by reference", replace(HIT.cell, by_reference=True), (OURS,))
IDENTICAL = Row(
    "16 identical at once", Cell((), at_once=16, requests=16, same=True, gap_ms=20, fields=GREEDY)
)
ROWS = (
    *(TEXT, CLIP, GREEDY_CLIP, BY_REFERENCE, LONG_CLIP, MANY_TEXTS, MANY_CLIPS, SLOW_TEXTS),
    *(HIT, HIT_BY_REFERENCE, IDENTICAL),
)
LIVE_READS = 10  # of 20 tokens 20 ms apart: a stream that came in fewer reads was not live


@dataclass
class Taken:
    """One gateway's results of one row, a round each. ms, requests/s, CPU seconds."""

    first_ms: list[float] = field(default_factory=list)
    p95_ms: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    wall_s: float = 0.0
    answered: int = 0
    calls: list[int] = field(default_factory=list)
    live: list[int] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)

    def add(self, result: Result, cpu_s: float, calls: int) -> None:
        """Take a round in."""
        self.wrong.update(result.wrong)
        self.calls.append(calls)
        self.live.append(sum(reads >= LIVE_READS for reads in result.spread))
        self.cpu_s += cpu_s
        self.wall_s += result.wall_s
        self.answered += len(result.first_ms)
        if result.first_ms:
            self.first_ms.append(statistics.median(result.first_ms))
            self.p95_ms.append(quantile(result.first_ms, 0.95))
            self.rate.append(len(result.first_ms) / result.wall_s)

    @property
    def first(self) -> float:
        """First token: median of the rounds' medians, ms."""
        return _median(self.first_ms)

    @property
    def p95(self) -> float:
        """First token: median of the rounds' 95th percentiles, ms."""
        return _median(self.p95_ms)

    @property
    def per_second(self) -> float:
        """Requests a second, median of the rounds."""
        return _median(self.rate)

    @property
    def cpu_ms(self) -> float:
        """CPU time a request, ms."""
        return 1_000 * self.cpu_s / self.answered if self.answered else float("nan")

    @property
    def cores(self) -> float:
        """How many cores the gateway kept busy."""
        return self.cpu_s / self.wall_s if self.wall_s else float("nan")


def measure(
    row: Row, gateway: Gateway, engines: Sequence[Program], generator: Generator, lot: int, share: float = 1.0
) -> tuple[Result, float, int]:
    """Ask one gateway one row's questions, or a share of them; its CPU seconds, and the engines' calls."""
    cell = replace(
        row.cell,
        ports=gateway.ports,
        key=gateway.key,
        lot=lot,
        for_s=row.cell.for_s * share,
        requests=row.cell.requests if row is IDENTICAL else -int(-row.cell.requests * share // 1),
        fields=_fields(row, gateway),
    )
    if row in (HIT, HIT_BY_REFERENCE):
        generator.measure(replace(cell, requests=1))  # the one that is not in the cache yet
    for engine in engines:
        processes.control(engine, "reset")
    before = gateway.program.cpu_s() if gateway.program else 0.0
    result = generator.measure(cell)
    used = gateway.program.cpu_s() - before if gateway.program else 0.0
    return result, used, sum(processes.control(engine, "counts")["calls"] for engine in engines)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that a share of them do not exceed."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def _fields(row: Row, gateway: Gateway) -> dict[str, object]:
    asks_for_cache = row is HIT and gateway.name == LITELLM
    return {**row.cell.fields, "cache": {"use-cache": True}} if asks_for_cache else row.cell.fields


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else float("nan")
