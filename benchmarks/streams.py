"""A thousand streams held open through the controller at once, while its memory is watched.

.venv/bin/python -m benchmarks.streams --write  # 1,000 streams of 180 tokens, one a second: 3.5 minutes

Half of the questions are sampled. Of the others the controller keeps the words, to be asked again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
from collections import Counter
from dataclasses import dataclass, field

import uvloop

from benchmarks import report
from benchmarks.load import gateways, processes
from benchmarks.load.answers import Tag
from benchmarks.load.memory import Memory
from benchmarks.load.processes import Program
from benchmarks.load.questions import PATH, Host, chat
from benchmarks.load.rows import GREEDY, SAMPLED, quantile
from benchmarks.load.stream import Connection

SETTLES_S = 60.0
MOST_GROWTH = 0.05  # from the end of the first minute to the end
_A_SECOND = 100  # streams opened


@dataclass
class Held:
    """What came of the streams."""

    wrong: Counter[str] = field(default_factory=Counter)
    first_ms: list[float] = field(default_factory=list)
    open_at_once: int = 0
    cpu_s: float = 0.0


def main() -> None:
    """Hold them, print, write."""
    options = options_of()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.ExitStack() as stack:
        engines = [stack.enter_context(processes.mock()) for _ in range(2)]
        settings = {"MERALION_PLACES": str(options.streams)}
        gateway = stack.enter_context(gateways.ours(engines, settings))
        assert gateway.program
        memory = Memory(gateway.program)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            held = runner.run(hold(options, gateway.ports[0], engines, memory))
    write(options, held, memory)


def options_of() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--streams", type=int, default=1_000, help="open at once (%(default)s)")
    add("--tokens", type=int, default=180, help="in each (%(default)s)")
    add("--gap-ms", type=int, default=1_000, help="between two tokens (%(default)s)")
    add("--write", action="store_true", help="write benchmarks/results/streams.md")
    return parser.parse_args()


async def hold(options: argparse.Namespace, port: int, engines: list[Program], memory: Memory) -> Held:
    """Open all streams and read them to their ends."""
    held = Held()
    before = memory.program.cpu_s()
    watching = asyncio.create_task(memory.watch())
    counting = asyncio.create_task(_count(engines, held))
    async with asyncio.TaskGroup() as group:
        for number in range(options.streams):
            group.create_task(_read(number, Tag(f"s{number}", options.tokens, options.gap_ms), port, held))
            await asyncio.sleep(1 / _A_SECOND)
    watching.cancel()
    counting.cancel()
    held.cpu_s = memory.program.cpu_s() - before
    return held


async def _read(number: int, tag: Tag, port: int, held: Held) -> None:
    host = Host("127.0.0.1", port)
    fields = SAMPLED if number % 2 else GREEDY
    request = host.post(PATH, chat(tag, **fields), visitor=f"bench-visitor-{number:08d}")
    try:
        connection = await Connection.to(host.host, host.port)
        answer = await connection.ask(request, timeout_s=2 * tag.tokens * tag.gap_ms / 1_000 + 60)
        connection.close()
    except (TimeoutError, OSError) as error:
        held.wrong[type(error).__name__] += 1
        return
    if wrong := answer.wrong(tag):
        held.wrong[wrong] += 1
    else:
        held.first_ms.append(1_000 * (answer.first - answer.sent))


async def _count(engines: list[Program], held: Held) -> None:
    """Ask the engines now and then how many answers are under way."""
    while True:
        counts = [await asyncio.to_thread(processes.control, engine, "counts") for engine in engines]
        held.open_at_once = max(held.open_at_once, sum(count["active"] for count in counts))
        await asyncio.sleep(1)


def write(options: argparse.Namespace, held: Held, memory: Memory) -> None:
    """Print the table, and write it where that is wanted."""
    right, seconds = len(held.first_ms), memory.samples[-1][0]
    growth = memory.growth(SETTLES_S)
    rows = [
        ["streams open at once, seen by the engines", str(held.open_at_once), ""],
        [
            "whole, every token once and in order",
            f"{right} of {options.streams}" + (f", {dict(held.wrong)}" if held.wrong else ""),
            report.met(right == options.streams),
        ],
        [
            "first token, p50 and p95",
            f"{quantile(held.first_ms, 0.5):.1f} and {quantile(held.first_ms, 0.95):.1f} ms"
            if right
            else "-",
            "",
        ],
        ["CPU of the controller", f"{held.cpu_s / seconds:.2f} of a core", ""],
        [
            f"its memory after {SETTLES_S:.0f} s is flat (less than {MOST_GROWTH:.0%} more at the end)",
            memory.line(SETTLES_S) if seconds > SETTLES_S else "too short a run to say",
            report.met(seconds > SETTLES_S and growth < MOST_GROWTH),
        ],
    ]
    note = (
        f"{options.streams:,} streams of {options.tokens} tokens, one in {options.gap_ms} ms, {_A_SECOND} "
        "opened a second; controller, two mock engines and the reader on the same cores. Half are sampled."
    )
    report.tell("streams", "Streams held open", rows, note, write=options.write)


if __name__ == "__main__":
    main()
