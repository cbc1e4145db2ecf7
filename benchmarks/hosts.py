"""The system with each part on a host of its own, and 16 streams through all that may happen to a part.

.venv/bin/python -m benchmarks.hosts --write  # as root, for the namespaces; 12 minutes
.venv/bin/python -m benchmarks.hosts --only Redis  # the faults whose names hold this

Hosts are network namespaces joined by a router. Redis is Debian's, in Valkey's part. Each fault is repaired
after some seconds, and every answer is checked word by word.
"""

from __future__ import annotations

import argparse
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version

from benchmarks import report
from tests.hosts import real
from tests.hosts.faults import ONE_CONTROLLER, PAGES, TWO_CONTROLLERS, Fault, Result, run
from tests.hosts.network import missing
from tests.hosts.system import STREAMS, System

GRACE_S = 20  # for the answers of a controller that is told to end, where another takes the questions
HEAD = ["what happens", "for", "questions", "whole", "told", "lost", "longest pause", "used again after"]
NOTE = f"""\
{STREAMS} streams at once, of 60 tokens, one in 40 ms; a quarter of the questions are sampled. Two
scripted engines with 8 places each, so that all places are in use: when an engine is away, half of the
answers wait for a place at the other. Default settings otherwise.

An answer **could be saved** while its client's connection leads to a controller that lives (a connection
that is only silent for a while lives: TCP goes on where it was) and an engine is left, or is back within
`queue_timeout_s`. **Whole**: every token once and in order, a finish reason and [DONE]. **Told**: it
could not be saved, and its client saw an error or a cut connection after tokens that are right. **Lost**:
it could have been saved and was not, or it ended as if it were whole. **Longest pause**: the longest time
that any stream was without a new word, the wait for the first one included. **Used again**: from the
repair until all parts are well and all places are in use; an engine that was away gets its places back
one by one over `slow_start_s` (10 s).
"""


def main() -> int:
    """Go through the faults, print, write; 1 when an answer was lost."""
    options = options_of()
    if why := missing():
        raise SystemExit(why)
    began = time.monotonic()
    groups: Mapping[str, tuple[System, Sequence[Fault]]] = {
        "One controller": (System(), ONE_CONTROLLER),
        "Two controllers; eight questions at the first, each followed from the second": (
            System(controllers=2, settings={"MERALION_SHUTDOWN_GRACE_S": str(GRACE_S)}),
            TWO_CONTROLLERS,
        ),
        "The pages on a host of their own, asking by `ui.client`": (System(pages=True), PAGES),
    }
    lost = 0
    text: list[str] = []
    for title, (system, faults) in groups.items():
        results = list(through(system, [one for one in faults if options.only in one.name]))
        lost += sum(len(result.lost) + result.left_over for result in results)
        if results:
            text += [f"## {title}", "", *report.table(HEAD, [row(result) for result in results]), ""]
    if not options.only:
        rows, wrong = small_models()
        lost += wrong
        text += ["## Real small models on both engines' hosts", "", *report.table(REAL_HEAD, rows), ""]
    print("\n".join(text))
    if options.write:
        publish(text, lost, time.monotonic() - began)
    return int(lost > 0)


def options_of() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="faults whose names hold this")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/hosts.md")
    return parser.parse_args()


def through(system: System, faults: Sequence[Fault]) -> Iterator[Result]:
    """Yield what became of the streams under each fault."""
    if not faults:
        return
    with system:
        for fault in faults:
            result = run(system, fault)
            print(f"{fault.name}: {', '.join(row(result)[1:])} {set(result.lost) or ''}", file=sys.stderr)
            yield result


def row(result: Result) -> list[str]:
    """Write one result as a row of the table."""
    lasts = f"{result.fault.lasts_s:g} s" if result.fault.lasts_s else "the restart"
    lost = str(len(result.lost)) + (f", {result.left_over} left at the engines" if result.left_over else "")
    told = "; ".join(f"{count} {why}" for why, count in result.told.most_common()) or "0"
    counts = [str(result.asked), str(result.whole), told, lost]
    return [result.fault.name, lasts, *counts, f"{result.pause_s:.1f} s", f"{result.used_again_s:.1f} s"]


REAL_HEAD = ["what happens in mid-answer", "questions", "under way then", "equal to the undisturbed answers"]


def small_models() -> tuple[list[list[str]], int]:
    """Ask real engines, one of which fails; return the rows, and how many answers differ."""
    rows, wrong = [], 0
    with real.house() as system:
        undisturbed, _ = real.answers(system)
        for fault in real.FAULTS:
            try:
                texts, hit = real.answers(system, fault.strike)
            finally:
                fault.mend(system)
            system.wait_until(system.is_well, "both engines are up")
            equal = sum(one == other for one, other in zip(texts, undisturbed, strict=True))
            wrong += len(texts) - equal
            rows.append([fault.name, str(len(texts)), str(hit), str(equal)])
            print(", ".join(rows[-1]), file=sys.stderr)
    return rows, wrong


def publish(text: Sequence[str], lost: int, seconds: float) -> None:
    """Write the document."""
    redis = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"v=([\d.]+)", redis)
    versions = (
        f"Linux {platform.release().partition('-')[0]}, Redis {found[1] if found else '?'}, "
        f"uvicorn {version('uvicorn')}, redis-py {version('redis')}, Streamlit {version('streamlit')}."
    )
    head = ["# Every part on a host of its own", "", "    .venv/bin/python -m benchmarks.hosts --write", ""]
    end = [
        f"Answers lost, or left running at an engine: {lost}. {report.met(lost == 0)}",
        "",
        f"{report.machine()} {versions} It took {seconds / 60:.0f} minutes.",
        "",
    ]
    report.publish("hosts", "\n".join([*head, NOTE, *text, *end]))


if __name__ == "__main__":
    sys.exit(main())
