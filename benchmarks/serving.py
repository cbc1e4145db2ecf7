r"""The paper's Table 1 for any OpenAI-compatible endpoint: audio length x requests at once.

python -m benchmarks.serving --base-url http://127.0.0.1:8000  # 30 s, 1 and 2 min x 1, 4, 8, 16; 120 trials

A small model with an encoder of Whisper base's size in vLLM on a CPU, and transformers beside it:

.venv-vllm/bin/python -m model.checkpoints build DIR --layout open --decoder llama --preset base-100m
.venv-vllm/bin/python -m model.serve DIR --dtype float32 --port 8001  # leave it running
.venv-vllm/bin/python -m benchmarks.serving --base-url http://127.0.0.1:8001 --trials 16 \
    --transformers DIR --transformers-dtype float32 --second-ask --write serving_cpu

Every request has a clip of its own, cut and mixed from `samples/` by lot, so that no cache helps; `--seed`
makes the same clips again (a server that was asked them before may remember them). So many requests are in
flight at once, never more. Whatever fails is counted with its reason, and Ctrl-C reports what there is.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import secrets
import shlex
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:  # started as a file
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks import report
from benchmarks.table1 import document
from benchmarks.table1.bench import QUESTION, Bench, Plan
from benchmarks.table1.document import Run
from benchmarks.table1.endpoint import BenchError, Endpoint

if TYPE_CHECKING:
    from benchmarks.table1.transformers_alone import TransformersAlone

FAILED, UNUSABLE, INTERRUPTED = 1, 2, 130


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write. 1: some requests failed; 2: the bench could not run; 130: Ctrl-C."""
    words = sys.argv[1:] if arguments is None else arguments
    options = options_of(words)
    run = Run()
    try:
        title, notes, versions = asyncio.run(bench(options, run))
    except BenchError as error:
        print(error, file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        print("Stopped before anything was measured.", file=sys.stderr)
        return INTERRUPTED
    text = document.write(run, title, command(words, options.seed), notes, versions)
    print(text)
    if options.write:
        report.publish(options.write, text)
    if run.stopped:
        return INTERRUPTED
    return FAILED if run.failed else 0


def options_of(words: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--base-url", default="http://127.0.0.1:8000", help="with or without /v1 (%(default)s)")
    add("--model", help="its name there; not needed where there is only one")
    add("--api-key-env", metavar="NAME", help="environment variable that holds the key")
    add("--seconds", type=_seconds, nargs="+", default=[30.0, 60.0, 120.0], help="of audio (30 60 120)")
    add("--concurrency", type=_count, nargs="+", default=[1, 4, 8, 16], help="requests at once (1 4 8 16)")
    add("--trials", type=_count, default=120, help="requests a cell (%(default)s)")
    add("--tokens", type=_count, default=128, help="in every answer (%(default)s)")
    add(
        "--seed", type=_seed, default=secrets.randbelow(1_000_000), help="of the clips; drawn where not given"
    )
    add("--timeout", type=_seconds, default=600.0, help="s without a sign of life (%(default)s)")
    add("--transformers", type=Path, metavar="DIR", help="time transformers' generate on this checkpoint too")
    add("--transformers-trials", type=_count, default=12, help="its clips of each length (%(default)s)")
    add("--transformers-dtype", choices=("auto", "float32", "bfloat16"), default="auto")
    add("--second-ask", action="store_true", help="ask about clips again: how much the server's caches help")
    add("--pairs", type=_count, default=12, help="of first and second questions (%(default)s)")
    add("--note", default="", help="a sentence for the report, such as what the server runs on")
    add("--write", metavar="NAME", help="write benchmarks/results/NAME.md")
    return parser.parse_args(words)


async def bench(options: argparse.Namespace, run: Run) -> tuple[str, list[str], str]:
    """Fill `run`; title, notes and versions for its report. Raises BenchError."""
    key = os.environ.get(options.api_key_env, "") if options.api_key_env else ""
    if options.api_key_env and not key:
        raise BenchError(f"The environment variable {options.api_key_env} is empty. Put the key into it.")
    endpoint = Endpoint(options.base_url, key, options.timeout)
    try:
        await endpoint.connect(options.model)
        alone = transformers_of(options.transformers, options.transformers_dtype)
        plan = Plan(
            tuple(options.seconds),
            tuple(options.concurrency),
            options.trials,
            options.tokens,
            options.seed,
            min(options.transformers_trials, options.trials) if alone else 0,
            options.pairs if options.second_ask else 0,
        )
        await Bench(plan, endpoint, alone).measure(run)
    finally:
        await endpoint.close()
    model = Path(endpoint.model).name if endpoint.model.startswith("/") else endpoint.model
    return f"Table 1: {model}", notes_of(options, endpoint, alone), versions(endpoint.version)


def transformers_of(folder: Path | None, dtype: str) -> TransformersAlone | None:
    """transformers with its model, if it is asked for: only then is torch loaded. Raises BenchError."""
    if folder is None:
        return None
    try:
        from benchmarks.table1.transformers_alone import TransformersAlone
    except ModuleNotFoundError as error:
        raise BenchError(
            f"--transformers needs {error.name}, which this Python lacks. Use vLLM's: "
            ".venv-vllm/bin/python -m benchmarks.serving ..."
        ) from error
    return TransformersAlone(folder, dtype)


def notes_of(options: argparse.Namespace, endpoint: Endpoint, alone: TransformersAlone | None) -> list[str]:
    """Sentences about how it was measured."""
    notes = [f"{options.note.rstrip('.')}."] if options.note else []
    notes.append(
        f"{options.trials} requests a cell after a warm-up, each with a clip of its own; greedy, "
        f"{options.tokens} tokens wanted; asked: “{QUESTION}”"
    )
    if not endpoint.extra.fixed_length:
        notes.append("The server does not take ignore_eos and min_tokens, so answers end where they end.")
    if alone:
        notes.append(f"Beside it: {alone.summary}.")
    return notes


def command(words: list[str], seed: int) -> str:
    """What makes the same run again; folders by their names, for they lie elsewhere on another machine."""
    said = [Path(word).name if Path(word).is_absolute() else word for word in words]
    again = [] if "--seed" in words else ["--seed", str(seed)]
    return f"python -m benchmarks.serving {shlex.join([*said, *again])}"


def versions(server: str) -> str:
    """Of the server, and of what this Python has of the libraries that matter."""
    found = [server] if server else []
    for name in ("transformers", "torch", "httpx"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return ", ".join(found)


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1 is needed")
    return number


def _seed(text: str) -> int:
    if (number := int(text)) < 0:
        raise argparse.ArgumentTypeError("0 or more is needed")
    return number


def _seconds(text: str) -> float:
    if not 0 < (number := float(text)) < math.inf:
        raise argparse.ArgumentTypeError("more than 0 is needed")
    return number


if __name__ == "__main__":
    sys.exit(main())
