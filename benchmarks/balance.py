"""What each balancing policy does to engines' caches and to waiting: a pool over a trace, in virtual time.

.venv/bin/python -m benchmarks.balance --write

The queue, the places and the policies are the controller's own. Only the engines are made up, from Table 1
of the paper with every time multiplied, so that a trace of some thousand requests is enough to load eight: an
engine reads one request's sound at a time, unless its cache holds it, and gives tokens at a pace that depends
on how many answers it gives at once. Reading does not hold up the other answers, as it does in a real engine,
so caches save more than is seen here. With fewer than eight instances only so many eighths of the visitors
come, so that an instance has as much to do.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil
from pathlib import Path

from backend.balancer import Instance, Place, Pool
from backend.breaker import Breaker
from backend.policies import POLICIES
from backend.settings import Settings
from backend.work import AUDIO_SECOND_MS, REQUEST_MS, Ask, Work
from benchmarks import report, virtual_time
from benchmarks.event import FILE, Request, read

COMMAND = ".venv/bin/python -m benchmarks.balance --write"
INSTANCES = (2, 4, 8)
PLACES = 16
SLOWER = (8.0, 12.0)  # the first leaves places free all the time, the second none when crowds come
ITL_MS = (
    (1, 9.9),
    (4, 11.4),
    (8, 13.0),
    (16, 16.3),
)  # Table 1, 30 s of sound: answers at once, a token's time
CACHE_CHUNKS = 80  # of 30 s: vLLM's default of 8,192 encoder tokens, and 100 a chunk (section 3.2)
MAX_TOKENS = 256  # what a request may produce, as far as the balancer knows
TOKENS_A_TURN = 8
BOUND = 1.25  # the setting's default
VARIANTS = [(policy, BOUND) for policy in POLICIES] + [("affinity", 1.0), ("affinity", 2.0)]


@dataclass
class Engine:
    """A made-up engine: what it holds of the sounds that it read, and what it has done."""

    reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    cache: OrderedDict[str, int] = field(default_factory=OrderedDict)
    answering: int = 0
    work_ms: float = 0.0
    slower: float = SLOWER[0]

    async def answer(self, request: Request, place: Place) -> tuple[bool, float]:
        """Take as long as an answer takes; say whether it held the sound, and when the first word came."""
        async with self.reading:
            is_warm = request.clip in self.cache
            self._remember(request)
            await self._spend(REQUEST_MS + (0.0 if is_warm else AUDIO_SECOND_MS * request.audio_s))
        first = _now()
        self.answering += 1
        place.produced(0)
        for left in range(request.tokens, 0, -TOKENS_A_TURN):
            tokens = min(left, TOKENS_A_TURN)
            await asyncio.sleep(tokens * itl_ms(self.answering) * self.slower / 1_000)
            self.work_ms += tokens * itl_ms(PLACES) / PLACES
            place.produced(tokens)
        self.answering -= 1
        return is_warm, first

    async def _spend(self, ms: float) -> None:
        self.work_ms += ms
        await asyncio.sleep(ms * self.slower / 1_000)

    def _remember(self, request: Request) -> None:
        self.cache[request.clip] = ceil(request.audio_s / 30)
        self.cache.move_to_end(request.clip)
        while sum(self.cache.values()) > CACHE_CHUNKS:
            self.cache.popitem(last=False)


@dataclass
class Outcome:
    """What a policy did with a trace; times in s."""

    warm: float
    could_be_warm: float
    queued: list[float]
    first_word: list[float]
    imbalance: float


def main() -> None:
    """Replay, print, write."""
    parser = argparse.ArgumentParser(description="What each balancing policy does to caches and waiting.")
    parser.add_argument("--trace", type=Path, default=FILE, help="a trace to replay (traces/event.jsonl)")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/balance.md")
    options = parser.parse_args()
    trace = read(options.trace)
    rows = [
        row(count, slower, policy, bound, virtual_time.run(replay(part, count, policy, bound, slower)))
        for count in INSTANCES
        for part in [share(trace, count / max(INSTANCES))]
        for slower in SLOWER
        for policy, bound in VARIANTS
        if bound == BOUND or count == max(INSTANCES)
    ]
    head = (
        "instances",
        "times x",
        "policy",
        "sound met before",
        "wait for a place p50, p95",
        "first word p50, p95",
        "imbalance",
    )
    if options.write:
        report.save("balance", "Balancing policies over a trace", COMMAND, head, rows, note(trace))
    else:
        print("\n".join(report.table(head, rows)))


def note(trace: Sequence[Request]) -> str:
    """Say what was replayed, and how to read it."""
    sounds = len({one.clip for one in trace})
    return (
        f"A simulation: {len(trace)} requests of {len({one.owner for one in trace})} visitors about {sounds} "
        f"sounds in {trace[-1].arrival_s / 60:.0f} minutes, drawn (`benchmarks/event.py`), not recorded; "
        "fewer visitors for fewer instances. The controller's own queue and policies in virtual time; "
        "engines after Table 1 of the paper, all times multiplied: once so that places are always free, once "
        "so that crowds fill them. Reading does not slow the other answers, as it does in a real engine, "
        "so caches save more than is seen here.\n\n"
        "Sound met before: requests whose sound the chosen instance holds, of all (in brackets: had one "
        "instance met them all). Times are s from the arrival. Imbalance: the work of the instance that did "
        "most, over the mean."
    )


def share(trace: Iterable[Request], part: float) -> list[Request]:
    """Leave so great a part of the visitors, with all that they ask."""
    return [one for one in trace if random.Random(one.owner).random() < part]


async def replay(
    trace: Sequence[Request], count: int, policy: str, bound: float = BOUND, slower: float = SLOWER[0]
) -> Outcome:
    """Send a trace through a pool of `count` instances."""
    random.seed(0)
    instances = [
        Instance(f"10.0.0.{number}:8000", places=PLACES, breaker=Breaker(clock=_now), clock=_now)
        for number in range(count)
    ]
    for instance in instances:
        instance.set("up")
    engines = {instance: Engine(slower=slower) for instance in instances}
    asked = {"balance": policy, "affinity_bound": bound, "queue_timeout_s": 3_600, "queue_per_visitor": 99}
    settings = Settings.model_validate(asked)  # and nothing from the environment
    pool = Pool("Trace", instances, settings, clock=_now)
    warm: list[bool] = []
    queued: list[float] = []
    first_word: list[float] = []

    async def ask(request: Request) -> None:
        await asyncio.sleep(request.arrival_s)
        work = Work(request.audio_s, MAX_TOKENS)
        with await pool.enter(Ask(request.owner, work, request.clip)) as place:
            queued.append(_now() - request.arrival_s)
            is_warm, first = await engines[place.instance].answer(request, place)
        warm.append(is_warm)
        first_word.append(first - request.arrival_s)

    async with asyncio.TaskGroup() as group:
        for request in trace:
            group.create_task(ask(request))
    work = [engine.work_ms for engine in engines.values()]
    return Outcome(
        statistics.fmean(warm),
        1 - len({one.clip for one in trace}) / len(trace),
        queued,
        first_word,
        max(work) / statistics.fmean(work),
    )


def row(count: int, slower: float, policy: str, bound: float, outcome: Outcome) -> tuple[str, ...]:
    """Return a line of the table."""
    return (
        str(count),
        f"{slower:g}",
        f"`{policy}`" + (f", bound {bound:g}" if policy == "affinity" else ""),
        f"{outcome.warm:.0%} ({outcome.could_be_warm:.0%})",
        _spread(outcome.queued),
        _spread(outcome.first_word),
        f"{outcome.imbalance:.2f}",
    )


def itl_ms(at_once: int) -> float:
    """Return Table 1's time between two tokens of an answer; in a straight line between its columns."""
    for (few, short), (many, long) in pairwise(ITL_MS):
        if at_once <= many:
            return short + (long - short) * (at_once - few) / (many - few)
    raise ValueError(f"{at_once} answers at once are more than the table has")


def _spread(times: Sequence[float]) -> str:
    cuts = statistics.quantiles(times, n=20, method="inclusive")
    return f"{cuts[9]:.2f}, {cuts[18]:.2f}"


def _now() -> float:
    return asyncio.get_running_loop().time()


if __name__ == "__main__":
    main()
