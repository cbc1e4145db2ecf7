"""What `python -m evaluation.metrics` does: reads rows, scores them, prints one line."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.errors import EvaluationError, MetricError
from evaluation.metrics import bleu, intervals, judge, mmau, normaliser, wer
from evaluation.metrics.rows import SCALE, TEXT, TEXTS, Key, read

Rows = Iterator[tuple[str, dict[str, Any]]]
Scored = dict[str, float | int | str]


@dataclass(frozen=True)
class Metric:
    """A metric of the command."""

    help: str
    keys: Mapping[str, Key]  # of a row, besides its id
    score: Callable[[Rows, argparse.Namespace], Scored]


def run(arguments: list[str] | None = None) -> int:
    """Score a file; 0 done, 2 the rows cannot be scored or the result cannot be written."""
    options = _parser().parse_args(arguments)
    metric = METRICS[options.metric]
    try:
        line = json.dumps(metric.score(read(options.input, metric.keys), options), allow_nan=False)
    except EvaluationError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return _print(line)


def _wer(rows: Rows, options: argparse.Namespace) -> Scored:
    found = [wer.errors(row["ref"], row["hyp"], options.part4) for _, row in rows]
    low, high = intervals.of_rate([one.edits for one in found], [one.words for one in found])
    return {
        "wer": wer.corpus(found),
        "n": len(found),
        "low": low,
        "high": high,
        **{
            name: sum(getattr(one, name) for one in found)
            for name in ("words", "edits", "substitutions", "deletions", "insertions")
        },
        "signature": normaliser.signature(options.part4),
    }


def _bleu(rows: Rows, options: argparse.Namespace) -> Scored:
    counter = bleu.Counter(options.tokenize)
    counts = np.array([counter.counts(row["ref"], row["hyp"]) for _, row in rows], np.int64)
    low, high = intervals.of_counts(counts, counter)
    return {
        "bleu": counter.score(counts.sum(axis=0).tolist()),
        "n": len(counts),
        "low": low,
        "high": high,
        "tokenize": options.tokenize,
        "signature": counter.signature,
    }


def _judge(rows: Rows, options: argparse.Namespace) -> Scored:
    scale, ratings = 0, []
    for place, row in rows:
        scale = scale or row["scale"]
        if row["scale"] != scale:
            raise MetricError(
                f"{place}: the scale is {row['scale']}, and {scale} before. Put each scale in its own file."
            )
        ratings.append(judge.rating(row["reply"], scale))
    score, success_rate = judge.score(ratings, scale)
    low, high = intervals.of_mean([(value or 0.0) * (100 / scale) for value in ratings])
    return {
        "score": score,
        "success_rate": success_rate,
        "n": len(ratings),
        "low": low,
        "high": high,
        "scale": scale,
        "signature": f"audiobench:last-word-of-the-reply|scale:{scale}",
    }


def _mmau(rows: Rows, options: argparse.Namespace) -> Scored:
    right = []
    for place, row in rows:
        if not mmau.names_something(row["answer"]):
            raise MetricError(
                f'{place}: nothing is left of "answer" once its first four characters are cut off. '
                'Write answer and choices with their letters, as in "(A) Man".'
            )
        right.append(mmau.is_right(row["answer"], row["choices"], row["prediction"]))
    low, high = intervals.of_mean(right)
    return {
        "accuracy": sum(right) / len(right),
        "n": len(right),
        "low": low,
        "high": high,
        "signature": "mmau:string-match|cut:4",
    }


METRICS = {
    "wer": Metric("word error rate; rows have id, ref, hyp", {"ref": TEXT, "hyp": TEXT}, _wer),
    "bleu": Metric("corpus BLEU; rows have id, ref, hyp", {"ref": TEXT, "hyp": TEXT}, _bleu),
    "judge": Metric(
        "a judge's replies; rows have id, reply, scale (5 or 1)", {"reply": TEXT, "scale": SCALE}, _judge
    ),
    "mmau": Metric(
        "MMAU's string match; rows have id, answer, choices, prediction",
        {"answer": TEXT, "choices": TEXTS, "prediction": TEXT},
        _mmau,
    ),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.metrics",
        description="Score stored answers as AudioBench and MMAU do, and print one JSON line.",
    )
    metrics = parser.add_subparsers(dest="metric", required=True, metavar="{" + ",".join(METRICS) + "}")
    for name, metric in METRICS.items():
        command = metrics.add_parser(name, help=metric.help, description=metric.help)
        command.add_argument(
            "--input", type=Path, required=True, metavar="FILE.jsonl", help="a JSON object a line"
        )
        if name == "wer":
            command.add_argument("--part4", action="store_true", help="by the rules for part 4 of MNSC")
        if name == "bleu":
            command.add_argument(
                "--tokenize", choices=bleu.TOKENIZERS, default="13a", help="13a unless given"
            )
    return parser


def _print(line: str) -> int:
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except OSError as error:
        # What could not be written must not be tried again, with a traceback, when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.stderr.write(f"error: The result cannot be written ({error.strerror}).\n")
        return 2
    return 0
