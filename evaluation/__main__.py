"""AudioBench's and MMAU's tasks against any OpenAI-compatible endpoint: the paper's Tables 2, 3 and 4.

    python -m evaluation list                         what can be asked, and about what
    python -m evaluation run --system meralion-2-3b --dataset librispeech_test_clean --out runs --download
    python -m evaluation run --system cascade --table 2 --out runs --data DIR --judge llama-3-70b-judge
    python -m evaluation run --system gpt-4o-audio --table 4 --out runs --dry-run    how much, at what cost
    python -m evaluation score --out runs --judge gpt-4o-judge
    python -m evaluation report --out runs            tables as Markdown, CSV and a page

A run that ended early, whatever the reason, goes on when the same command is given again: what was answered
is kept and not asked again. Keys come from the environment (`list` names the variables).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from evaluation import commands
from evaluation.errors import EvaluationError

_STOPPED = "Stopped. All that was answered is kept: give the same command again to go on."


def main(words: Sequence[str] | None = None) -> int:
    """Run a command. 0: done; 2: it could not be, with a sentence on stderr; 130: Ctrl-C."""
    asked = _parser().parse_args(words)
    try:
        code: int = asked.command(asked)
    except EvaluationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(_STOPPED, file=sys.stderr)
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m evaluation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands_of = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = commands_of.add_parser("run", help="ask systems about data sets, and score")
    run.add_argument("--system", nargs="+", required=True, metavar="ID", help="whom to ask; `list` shows all")
    which = run.add_mutually_exclusive_group(required=True)
    which.add_argument("--dataset", nargs="+", metavar="ID", help="about what; `list` shows all")
    which.add_argument(
        "--table", nargs="+", type=int, choices=(2, 3, 4), help="all data sets of a table of the paper"
    )
    run.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where answers and results are kept"
    )
    run.add_argument(
        "--data", type=Path, metavar="FOLDER", help="a copy of the data: parquet files as the hub has them"
    )
    run.add_argument(
        "--download", action="store_true", help="fetch what is missing from the Hugging Face hub (HF_TOKEN)"
    )
    run.add_argument(
        "--limit", type=_positive, metavar="N", help="so many clips of each data set, spread over it"
    )
    run.add_argument(
        "--concurrency", type=_positive, metavar="N", help="requests at once, instead of the row's"
    )
    run.add_argument(
        "--instructions", type=Path, metavar="FILE", help="lists of instructions instead of ours"
    )
    run.add_argument(
        "--dry-run", action="store_true", help="ask nothing: a line of JSON a data set, and a total"
    )
    _judge(run)
    _tables(run)
    run.set_defaults(command=commands.run)

    score = commands_of.add_parser(
        "score", help="score the answers in a folder, with a judge if one is named"
    )
    score.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder that `run` wrote")
    score.add_argument("--system", nargs="+", metavar="ID", help="only these")
    score.add_argument("--dataset", nargs="+", metavar="ID", help="only these")
    _judge(score)
    _tables(score)
    score.set_defaults(command=commands.score)

    report = commands_of.add_parser("report", help="Tables 2, 3 and 4 as Markdown, CSV and a page")
    report.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder that `run` wrote")
    report.add_argument("--to", type=Path, metavar="DIR", help="where to write (default: the same)")
    report.add_argument(
        "--audio", type=Path, metavar="FOLDER", help="clips to hear: FOLDER/<data set>/<clip>.wav"
    )
    _tables(report)
    report.set_defaults(command=commands.write_report)

    show = commands_of.add_parser("list", help="the systems and data sets there are")
    _tables(show)
    show.set_defaults(command=commands.show)

    brought = commands_of.add_parser(
        "audiobench", help="bring AudioBench's own prompts and logs from a clone of it"
    )
    brought.add_argument(
        "checkout", type=Path, metavar="CHECKOUT", help="a clone of github.com/AudioLLMs/AudioBench"
    )
    brought.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where to write them")
    brought.set_defaults(command=commands.audiobench)
    return parser


def _judge(parser: argparse.ArgumentParser) -> None:
    who = parser.add_argument_group("judge", "who rates answers, for data sets whose metric is `judge`")
    either = who.add_mutually_exclusive_group()
    either.add_argument("--judge", metavar="ID", help="a system of kind chat, such as llama-3-70b-judge")
    either.add_argument("--judge-url", metavar="URL", help="or the address of any endpoint, with /v1")
    who.add_argument(
        "--judge-model", metavar="NAME", default="", help="its model (default: the only one there)"
    )
    who.add_argument(
        "--judge-key-env", metavar="VARIABLE", default="", help="the variable that holds its key"
    )
    who.add_argument("--judge-prompts", type=Path, metavar="FILE", help="instead of judge_prompts.toml")


def _tables(parser: argparse.ArgumentParser) -> None:
    more = parser.add_argument_group("further rows")
    more.add_argument(
        "--systems", type=Path, metavar="FILE", help="more systems, in the form of systems.toml"
    )
    more.add_argument(
        "--datasets", type=Path, metavar="FILE", help="more data sets, in the form of datasets.toml"
    )


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is no whole number from 1 on")
    return number


if __name__ == "__main__":
    sys.exit(main())
