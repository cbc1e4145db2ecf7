"""The controller beside vllm-router, LiteLLM's proxy and no gateway at all, on mock engines that count calls.

make gateways                                            # the other two, into .venv-gateways
.venv/bin/python -m benchmarks.gateway --write           # about eight minutes
.venv/bin/python -m benchmarks.gateway --quick           # half a minute, to see that it works

All gateways are up together and take turns within every round, so that what else the machine does meets
all of them. Every answer is checked: each token once, in order, with its finish reason and its end.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import shlex
import sys
import time
from collections import defaultdict

from benchmarks import report
from benchmarks.load import gateways, processes, rows, verdicts
from benchmarks.load.gateways import Gateway
from benchmarks.load.generator import Generator
from benchmarks.load.rows import Row, Taken

WARM_SHARE = 0.1
_SETTLES_S = 3.0  # after the start, before idle memory is read


def main() -> None:
    """Measure, print, write."""
    options = options_of()
    chosen = [name for name in options.only or gateways.ALL if gateways.installed(name)]
    left_out = [name for name in options.only or gateways.ALL if name not in chosen]
    wanted = [row for row in rows.ROWS if not options.rows or row.name in options.rows]
    results: dict[str, dict[str, Taken]] = defaultdict(lambda: defaultdict(Taken))
    with contextlib.ExitStack() as stack:
        engines = [stack.enter_context(processes.mock()) for _ in range(2)]
        generator = stack.enter_context(Generator.running())
        up = [stack.enter_context(gateways.ALL[name](engines)) for name in chosen]
        time.sleep(_SETTLES_S)
        idle_mb = {one.name: one.program.memory_mb() if one.program else 0.0 for one in up}
        lots = itertools.count(1)
        for number in range(-1, options.rounds):  # the first one warms them
            share = options.share if number >= 0 else WARM_SHARE * options.share
            for row, gateway in itertools.product(wanted, up):
                if row.only and gateway.name not in row.only:
                    continue
                measured = rows.measure(row, gateway, engines, generator, next(lots), share)
                if number >= 0:
                    results[row.name][gateway.name].add(*measured)
                    said(number, row, gateway, results[row.name][gateway.name])
    text = "\n".join(
        [
            *("# The controller beside other gateways", "", f"    {command()}", ""),
            *(note(options.rounds, left_out), ""),
            *verdicts.tables(results, idle_mb),
            *(f"{report.machine()} {report.processors()}.", ""),
        ]
    )
    print(text)
    if options.write:
        report.publish("gateway", text)


def options_of() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--rounds", type=int, default=5, help="in which every gateway has its turn (%(default)s)")
    add("--share", type=float, default=1.0, help="of the requests of every row (%(default)s)")
    add("--only", nargs="+", choices=list(gateways.ALL), help="these gateways")
    add("--rows", nargs="+", choices=[row.name for row in rows.ROWS], help="these rows")
    add("--quick", action="store_true", help="one round, a tenth of the requests")
    add("--write", action="store_true", help="write benchmarks/results/gateway.md")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.share = 1, 0.1
    return options


def said(number: int, row: Row, gateway: Gateway, taken: Taken) -> None:
    """Tell how far it is."""
    last = f"{taken.first_ms[-1]:8.2f} ms {taken.rate[-1]:8.0f}/s" if taken.first_ms else " nothing answered"
    wrong = f"  wrong: {dict(taken.wrong)}" if taken.wrong else ""
    print(f"round {number + 1}  {row.name:40} {gateway.name:12} {last}{wrong}", file=sys.stderr, flush=True)


def note(rounds: int, left_out: list[str]) -> str:
    """Sentences about how it was measured."""
    missing = (
        f" {' and '.join(left_out)} not installed here (`make gateways`), so left out." if left_out else ""
    )
    return (
        "Two mock engines that answer with 20 tokens at once, an asyncio client in a process of its own, "
        f"and the gateways, all on the same cores; medians of {rounds} rounds, the gateways in turn in each. "
        "Clips are 16 kHz mono WAV, every one another; requests are sampled (temperature 0.7) unless they "
        f"say otherwise, so that no cache answers.{missing}"
    )


def command() -> str:
    """What makes the same run again."""
    return f"python -m benchmarks.gateway {shlex.join(sys.argv[1:])}".rstrip()


if __name__ == "__main__":
    main()
