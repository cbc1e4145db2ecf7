"""The clients' host: keeps up so many streams, checks each word by word, and says how each question ended.

python -m tests.hosts.load --to 10.77.5.2:8000 --streams 16  # a JSON line a question, until its stdin ends

{"event": "flowing"} comes when every stream has had words. An answer is `whole` with every token once and in
order, a finish reason and [DONE]; `told` when an error or a cut connection says that it is not, after tokens
that are right as far as they go; and `wrong` otherwise: a silent end, tokens lost, doubled, or another's.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import uvloop

from benchmarks.load.answers import Tag
from benchmarks.load.rows import GREEDY, SAMPLED
from tests.hosts.asking import Ask, Asker, Page, Raw

_CONNECTS_S = 60.0  # to anybody, while all controllers may be away
_LEADER_S = 10.0  # for the first of a pair to have words, before the second asks the same
_BACKS_OFF_S = 0.5  # after an error, as clients do; what asks at once may meet the same end again
_SAMPLED_EACH = 4  # of so many questions one is sampled, which cannot simply be asked anew from its middle


@dataclass(frozen=True)
class Said:
    """How one question ended. `pause_s` is the longest time without a word, `at` on the system's clock."""

    caller: int
    controller: int
    asked: float
    at: float
    ending: str
    why: str
    pause_s: float
    sampled: bool


class Caller:
    """Asks one question after another, at one controller and, where that cannot be reached, at the next."""

    def __init__(self, number: int, options: argparse.Namespace, over: asyncio.Event) -> None:
        self.flows = asyncio.Event()
        self.rounds = 0  # in which words have come
        self.partner: Caller | None = None
        self._number = number
        self._options = options
        self._over = over
        self._hosts = [(host, int(port)) for host, _, port in (one.partition(":") for one in options.to)]
        self._home = number % len(self._hosts)
        self._count = 0
        kind: type[Asker] = Page if options.pages else Raw
        self._asker = kind(f"hosts-visitor-{number // 2 if options.pairs else number:08d}")

    async def run(self, round_over: asyncio.Barrier | None) -> None:
        """Ask until it is over."""
        while not self._over.is_set():
            tag, sampled = self._question()
            await self._after_partner()
            at = await self._connected()
            if at is None:
                say(event="unreachable", caller=self._number)
                return
            asked = time.monotonic()
            ask = Ask(tag, SAMPLED if sampled else GREEDY, self._flow)
            ending, why = await self._asker.ask(ask)
            said = Said(self._number, at, asked, time.monotonic(), ending, why, ask.pause_s, sampled)
            say(event="ended", **asdict(said))
            if ending != "whole":
                await asyncio.sleep(_BACKS_OFF_S)
            if round_over:
                await round_over.wait()

    def _flow(self) -> None:
        self.rounds = self._count
        self.flows.set()

    async def _after_partner(self) -> None:
        """Let the first of a pair have words, if it can, so that the second follows its answer."""
        until = time.monotonic() + _LEADER_S
        while self.partner and self.partner.rounds < self._count and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    def _question(self) -> tuple[Tag, bool]:
        self._count += 1
        options = self._options
        who = f"p{self._number // 2}" if options.pairs else f"c{self._number}"
        sampled = not options.pairs and self._count % _SAMPLED_EACH == self._number % _SAMPLED_EACH
        return Tag(f"{options.name}{who}q{self._count}", options.tokens, options.gap_ms), sampled

    async def _connected(self) -> int | None:
        """Connect at home, else elsewhere; say where, or None when there is nobody."""
        deadline = time.monotonic() + _CONNECTS_S
        while time.monotonic() < deadline:
            for at in (self._home, *(one for one in range(len(self._hosts)) if one != self._home)):
                with contextlib.suppress(OSError):
                    await self._asker.connect(*self._hosts[at])
                    return at
            await asyncio.sleep(0.1)
        return None


def say(**what: object) -> None:
    """Print one line."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def keep_up(options: argparse.Namespace) -> None:
    """Ask until stdin ends, and then until each answer under way has ended."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(options.streams + 2))
    over = asyncio.Event()
    callers = [Caller(number, options, over) for number in range(options.streams)]
    rounds: list[asyncio.Barrier | None] = [None] * len(callers)
    if options.pairs:
        for first, second in zip(callers[::2], callers[1::2], strict=True):
            second.partner = first
        rounds = [one for _ in callers[::2] for one in [asyncio.Barrier(2)] * 2]
    running = asyncio.gather(*(one.run(barrier) for one, barrier in zip(callers, rounds, strict=True)))
    told = asyncio.create_task(_tell_of_flow(callers))
    reading = loop.run_in_executor(None, sys.stdin.buffer.read)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(reading, options.most_s)
    over.set()
    await running
    told.cancel()
    say(event="over")


async def _tell_of_flow(callers: list[Caller]) -> None:
    for one in callers:
        await one.flows.wait()
    say(event="flowing")


def main() -> None:
    """Read the command line and go."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--to", action="append", required=True, help="HOST:PORT of a controller; may be given again")
    add("--streams", type=int, default=16, help="(%(default)s)")
    add("--name", default="x", help="begins the names of all questions")
    add("--tokens", type=int, default=60, help="in an answer (%(default)s)")
    add("--gap-ms", type=int, default=40, help="between two tokens (%(default)s)")
    add("--pairs", action="store_true", help="two ask the same, the second at the next controller")
    add("--pages", action="store_true", help="ask as the pages do, by ui.client")
    add("--most-s", type=float, default=240, help="the longest time (%(default)s)")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(keep_up(parser.parse_args()))


if __name__ == "__main__":
    main()
