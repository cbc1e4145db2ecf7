"""Ask the demo's small models about the bundled set, end to end through the controller.

python -m evaluation.bundled                     # evaluation/results/bundled.md and .json; `make eval`
python -m evaluation.bundled --readme README.md  # and the table between its <!-- make eval --> marks
python -m evaluation.bundled --check             # against the results that are kept: 1 where a line got worse
python -m evaluation.bundled --limit 2           # a quick look, which writes no results
python -m evaluation.bundled --every-task        # what the small audio model could offer; writes none either
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from evaluation.bundled import house, measuring, readme, results, sets
from evaluation.bundled.child import ROOT
from evaluation.bundled.telling import Telling
from evaluation.errors import EvaluationError, RunError
from evaluation.systems import systems

_RESULTS = ROOT / "evaluation" / "results"
_ANSWERS = ROOT / "runs" / "bundled"


def main(words: list[str] | None = None) -> int:
    """Measure, then write or compare. 0: done; 1: worse than before; 2: it could not be done."""
    parser = _parser()
    asked = parser.parse_args(words)
    if asked.check and (asked.limit or asked.every_task):
        parser.error(
            "--check compares what is offered, over whole data sets: leave out --limit, --every-task"
        )
    try:
        return _measure(asked)
    except EvaluationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("error: stopped; what it had started has ended, and no results were written", file=sys.stderr)
        return 130


def _measure(asked: argparse.Namespace) -> int:
    began, telling = time.monotonic(), Telling()
    before = results.read(asked.results) if asked.check else None
    out = _made(asked.out / datetime.now(UTC).strftime("%Y%m%d-%H%M%S"))
    known, datasets = systems(), list(sets.datasets().values())
    with house.started(out, telling.waiting, asked.every_task) as up:
        asking = measuring.rows(up, known)
        measured = measuring.measure(asking, datasets, out, telling.line, asked.limit, up.offers)
    measured.left_out |= up.left_out
    found = results.data(measured, time.monotonic() - began)
    print(results.table(found))
    for what, why in measured.left_out.items():
        telling.line(f"Left out: {what}. {why}")
    telling.line(f"{found['took_s']:.0f} s. Every answer is in {out}.")
    if before:
        return _compare(before, found)
    if asked.limit is None and not asked.every_task:
        results.write(found, asked.results)
        if asked.readme:
            readme.put_table(asked.readme, f"{results.table(found)}\n\n{results.LEGEND}")
    return 0


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder} cannot be made ({error.strerror}). Choose another with --out.") from None
    return folder


def _compare(before: dict[str, object], found: dict[str, object]) -> int:
    bad, gone = results.worse(before, found)
    for sentence in gone:
        print(sentence)
    for sentence in bad:
        print(f"Worse: {sentence}")
    print(
        "Nothing got worse beyond its interval."
        if not bad
        else f"{len(bad)} got worse beyond their intervals."
    )
    return 1 if bad else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.bundled",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--readme", type=Path, help="a file whose table is replaced")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="where results are kept (%(default)s)")
    parser.add_argument("--out", type=Path, default=_ANSWERS, help="where answers and logs go (%(default)s)")
    parser.add_argument(
        "--check", action="store_true", help="compare with the results that are kept; write none"
    )
    parser.add_argument("--limit", type=_clips, help="so many clips of each data set; write no results")
    parser.add_argument(
        "--every-task",
        action="store_true",
        help="ask the small audio model also what it does not offer, to see what it may; write no results",
    )
    return parser


def _clips(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of clips: write 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
