"""How much sooner a second question about the same clip is answered, and what vLLM's caches say to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.table1.cells import SECOND, lot
from benchmarks.table1.clips import Clips
from benchmarks.table1.endpoint import Endpoint, Refused, settle
from benchmarks.table1.figures import Spread

SECOND_QUESTION = "Please summarize this spoken dialogue."
TOKENS = 8  # only the time to the first one is asked for


@dataclass
class SecondAsk:
    """First and second questions about clips of one length."""

    seconds: float
    first: list[float] = field(default_factory=list)  # TTFT, s
    second: list[float] = field(default_factory=list)
    first_hits: Counter[str] = field(default_factory=Counter)  # vLLM's cache counters over the asks
    second_hits: Counter[str] = field(default_factory=Counter)
    has_counters: bool = False
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def ratio(self) -> float:
        """Median of the second over median of the first."""
        return Spread.of(self.second).p50 / Spread.of(self.first).p50


async def ask_twice(
    endpoint: Endpoint, clips: Clips, question: str, into: SecondAsk, pairs: int, tick: Callable[[], None]
) -> None:
    """One at a time: a fresh clip, then the same clip with another question."""
    for number in range(pairs):
        wav = clips.wav(into.seconds, *lot(SECOND, 1, number))
        try:
            first, first_hits = await _ask(endpoint, wav, question)
            second, second_hits = await _ask(endpoint, wav, SECOND_QUESTION)
        except Refused as error:
            into.failures[str(error)] += 1
            continue
        finally:
            tick()
        into.first.append(first)
        into.second.append(second)
        into.first_hits += first_hits
        into.second_hits += second_hits
        into.has_counters = bool(first_hits)


async def _ask(endpoint: Endpoint, wav: bytes, question: str) -> tuple[float, Counter[str]]:
    """TTFT in seconds, and by how much each cache counter rose."""
    body = endpoint.body(wav, question, TOKENS)
    before = await endpoint.cache_counts()
    timing = await endpoint.ask(body)
    if before is None:
        return timing.ttft, Counter()
    await settle()
    after = await endpoint.cache_counts() or {}
    return timing.ttft, Counter({name: int(after[name] - before.get(name, 0)) for name in after})
