"""The command line of `python -m model.serve`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

PLACES = 16  # requests answered side by side, as in the paper's Table 1
# vLLM's flags that move where it listens, while its health is asked for at the address given here.
_MOVING = ("--host", "--port", "--uds", "--root-path", "--ssl-")
_SHORTEST = len("--ho")  # vLLM takes the beginnings of flags too


@dataclass(frozen=True)
class Options:
    """What a host has asked for; None leaves the choice to the plan."""

    model: str
    host: str = "127.0.0.1"
    port: int = 8001
    dtype: str | None = None
    places: int = PLACES
    context: int | None = None  # tokens of one conversation, prompt and answer
    tensor_parallel: int = 1
    quantization: str | None = None
    download: bool = False
    dry_run: bool = False
    further: tuple[str, ...] = ()  # for vLLM, as they are


def read(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; leaves with a message for one that cannot be understood."""
    parser = argparse.ArgumentParser(
        prog="python -m model.serve",
        usage="%(prog)s [options] MODEL [-- vLLM's flags]",
        description="Serve an audio LLM by the OpenAI API, with what suits this machine.",
        epilog="Further flags for vLLM go after --, and win over what was chosen here.",
    )
    parser.add_argument(
        "model", metavar="MODEL", help="an id of the registry, a published hub id, or a checkpoint's folder"
    )
    parser.add_argument("--host", default=Options.host, help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=_port, default=Options.port, help="0 for a free one (%(default)s)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="numbers to compute in")
    parser.add_argument(
        "--places", type=_positive, default=PLACES, help="requests answered side by side (%(default)s)"
    )
    parser.add_argument("--context", type=_positive, help="most tokens in a conversation")
    parser.add_argument(
        "--tensor-parallel-size",
        dest="tensor_parallel",
        type=_positive,
        default=1,
        metavar="N",
        help="GPUs, or parts of a CPU, that share the model (%(default)s)",
    )
    parser.add_argument("--quantization", metavar="METHOD", help="of the decoder, as vLLM names it: fp8, ...")
    parser.add_argument("--download", action="store_true", help="fetch the checkpoint from the hub if needed")
    parser.add_argument("--dry-run", action="store_true", help="say what would be chosen, start nothing")
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Split here: argparse would give what follows -- to the first positional argument that takes several.
    end = given.index("--") if "--" in given else len(given)
    further = tuple(given[end + 1 :])
    if moving := next(filter(_moves, further), None):
        parser.error(
            f"{moving} cannot follow --, for it changes where vLLM listens. Give --host and --port "
            "before the --, and leave TLS, sockets and paths to a proxy in front of it."
        )
    return Options(**vars(parser.parse_args(given[:end])), further=further)


def _moves(word: str) -> bool:
    """Whether a flag for vLLM changes where it listens."""
    name = word.split("=")[0].replace("_", "-")
    if name.startswith("--ssl-"):
        return True
    return len(name) >= _SHORTEST and any(flag.startswith(name) for flag in _MOVING)


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return port


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return number
