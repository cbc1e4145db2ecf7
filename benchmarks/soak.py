"""Half an hour of streams through the controller while its engines fail in every way they know.

.venv/bin/python -m benchmarks.soak --minutes 30 --streams 16 --write
.venv/bin/python -m benchmarks.soak --minutes 1  # to see that it works

Three mock engines cut their words into tokens differently and send letters in halves. At moments drawn by lot
one or two of them answer 500 or 429, hang, refuse, cut, stall or send rubbish; now and then all refuse.
Callers ask words, clips inline and by reference, the same again, and some leave in the middle. Every answer
is checked.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

import httpx
import uvloop

from benchmarks import report
from benchmarks.load import gateways, processes
from benchmarks.load.callers import Caller, Outcomes, Question
from benchmarks.load.memory import Memory
from benchmarks.load.mock import FAULTS
from benchmarks.load.processes import Program

MOST_GROWTH = 0.05  # of memory, from the end of the warm-up to the end
_WARM_SHARE = 0.2
_BETWEEN_FAULTS_S = 2.5
_LASTS_S = (0.5, 4.0)
_ALL_REFUSE = 0.03  # of the faults
_SETTLES_S = 3.0
# A cache that is still filling looks like a leak. This one is full, and drops the oldest, after two minutes.
_SETTINGS = {"MERALION_CACHE_MAX_BYTES": str(4 * 2**20)}


class Faults:
    """Makes the engines misbehave, a seeded lot deciding when and how."""

    def __init__(self, engines: list[Program], seed: int) -> None:
        """Trouble these engines."""
        self._engines = engines
        self._dice = random.Random(seed)
        self._busy_until = [0.0] * len(engines)
        self.count = dict.fromkeys([*FAULTS, "all refused"], 0)

    async def run(self) -> None:
        """Go on until cancelled; one engine at least stays well, but when all refuse."""
        while True:
            await asyncio.sleep(self._dice.expovariate(1 / _BETWEEN_FAULTS_S))
            well = [at for at, until in enumerate(self._busy_until) if until < time.monotonic()]
            if len(well) == len(self._engines) and self._dice.random() < _ALL_REFUSE:
                self.count["all refused"] += 1
                await asyncio.gather(*(self._trouble(at, "refused", 2.0) for at in well))
            elif len(well) > 1:
                kind = self._dice.choice(FAULTS)
                self.count[kind] += 1
                await self._trouble(self._dice.choice(well), kind, self._dice.uniform(*_LASTS_S))

    async def _trouble(self, at: int, kind: str, for_s: float) -> None:
        self._busy_until[at] = time.monotonic() + for_s
        await asyncio.to_thread(processes.control, self._engines[at], "fault", kind=kind, for_s=for_s)


def main() -> int:
    """Soak, print, write; 1 when a bar is missed."""
    options = options_of()
    with contextlib.ExitStack() as stack:
        joins = ("1", "2", "3")
        engines = [
            stack.enter_context(processes.mock("--odd", "--join", join, "--seed", str(options.seed)))
            for join in joins
        ]
        log = Path(stack.enter_context(tempfile.TemporaryDirectory()), "log")
        gateway = stack.enter_context(gateways.ours(engines, _SETTINGS, stderr=log, engine="vllm"))
        assert gateway.program
        memory, faults = Memory(gateway.program), Faults(engines, options.seed)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            outcomes = runner.run(soak(options, gateway.ports[0], faults, memory))
        time.sleep(_SETTLES_S)
        still = sum(processes.control(engine, "counts")["active"] for engine in engines)
        up = httpx.get(f"http://127.0.0.1:{gateway.ports[0]}/healthz", trust_env=False).json()["status"]
        struck = sum(processes.control(engine, "counts")["struck"] for engine in engines)
        internal = log.read_text(errors="replace").count('"internal error"')
    rows = rows_of(options, outcomes, memory)
    rows += [
        ["answers struck by a fault", str(struck), ""],
        ["answers still under way at the engines afterwards", str(still), report.met(still == 0)],
        ["health afterwards", up, report.met(up == "ok")],
        ["internal errors in the log", str(internal), report.met(internal == 0)],
    ]
    write(options, faults, rows)
    return int(any(row[2] == "NOT MET" for row in rows))


def options_of() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--minutes", type=float, default=30, help="(%(default)s)")
    add("--streams", type=int, default=16, help="at once (%(default)s)")
    add("--seed", type=int, default=1, help="of faults and questions (%(default)s)")
    add("--write", action="store_true", help="write benchmarks/results/soak.md")
    return parser.parse_args()


async def soak(options: argparse.Namespace, port: int, faults: Faults, memory: Memory) -> Outcomes:
    """Ask until the time is over."""
    outcomes = Outcomes()
    tasks = [asyncio.create_task(memory.watch()), asyncio.create_task(faults.run())]
    until = time.monotonic() + 60 * options.minutes
    asked: dict[str, deque[Question]] = {}
    callers = [Caller(number, options.seed, port, outcomes, asked) for number in range(options.streams)]
    telling = asyncio.create_task(_tell(outcomes, memory))
    await asyncio.gather(*(caller.run(until) for caller in callers))
    for task in (*tasks, telling):
        task.cancel()
    await asyncio.gather(*tasks, telling, return_exceptions=True)
    memory.sample()
    return outcomes


async def _tell(outcomes: Outcomes, memory: Memory) -> None:
    while True:
        await asyncio.sleep(30)
        told = {kind: sum(counts.values()) for kind, counts in outcomes.counts.items()}
        print(f"{memory.samples[-1][0]:6.0f} s {memory.samples[-1][1]:6.0f} MB {told}", file=sys.stderr)


def rows_of(options: argparse.Namespace, outcomes: Outcomes, memory: Memory) -> list[list[str]]:
    """What was asked and how it ended."""
    since = 60 * options.minutes * _WARM_SHARE
    bad = outcomes.wrong
    rows = [
        [f"{kind}: {ending}", str(count), report.met(False) if (kind, ending) in bad else ""]
        for kind, counts in outcomes.counts.items()
        for ending, count in sorted(counts.items())
    ]
    rows.append(
        ["lost, doubled or reordered tokens, and failed greedy answers", str(len(bad)), report.met(not bad)]
    )
    growth = memory.growth(since)
    rows.append(["memory of the controller", memory.line(since), report.met(growth < MOST_GROWTH)])
    return rows


def write(options: argparse.Namespace, faults: Faults, rows: list[list[str]]) -> None:
    """Print the table, and write it where that is wanted."""
    struck = ", ".join(f"{kind} {count}" for kind, count in faults.count.items())
    note = (
        f"{options.streams} callers for {options.minutes:g} minutes, three mock engines, default "
        f"settings but for a cache of 4 MiB. Faults, of {_LASTS_S[0]:g} to {_LASTS_S[1]:g} s each: "
        f"{struck}. A greedy answer must be whole and right; a sampled one too, or end with an error that "
        "says so, after tokens that are right. Memory is flat when it grows by less than "
        f"{MOST_GROWTH:.0%} from {_WARM_SHARE:.0%} of the time to the end."
    )
    report.tell("soak", "The controller under faults", rows, note, write=options.write)


if __name__ == "__main__":
    sys.exit(main())
