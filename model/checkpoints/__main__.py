"""Look at checkpoints, make them, and fetch the published ones.

python -m model.checkpoints inspect DIR
python -m model.checkpoints build DIR --layout v1|v2|v3-asr|open [--decoder llama] [--preset base-100m] ...
python -m model.checkpoints convert DIR
python -m model.checkpoints assemble meralion-mini DIR
python -m model.checkpoints download HUB_ID DIR

`inspect` and `assemble` need no torch; the others run in .venv-vllm. Exit codes: 0 done, 1 the checkpoint
cannot be served or fetched, 2 the command cannot be run as things are.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from pathlib import Path

from model.checkpoints.inspect import inspect
from model.layouts import LAYOUTS
from model.mini import MINI_ID, WEIGHTS

MAKERS = ("torch", "transformers", "safetensors")  # what writing a checkpoint needs


class CannotRunError(RuntimeError):
    """A command cannot be run as things are; the message says why and what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 1 when a checkpoint cannot be served or fetched, 2 when the command cannot be run."""
    options = _parser().parse_args(arguments)
    try:
        run: int = options.run(options)
    except CannotRunError as error:
        print(error, file=sys.stderr)
        return 2
    return run


def _inspect(options: argparse.Namespace) -> int:
    report = inspect(options.folder)
    print(report.summary())
    return 1 if report.problems else 0


def _needs(*libraries: str) -> None:
    """Raise CannotRunError where a library is not installed."""
    if missing := [name for name in libraries if importlib.util.find_spec(name) is None]:
        raise CannotRunError(
            f"This needs {', '.join(missing)}: run it with .venv-vllm/bin/python; `make vllm` makes that."
        )


def _make_folder(folder: Path) -> None:
    """Make a folder and try to write into it, before work is done for it. Raises CannotRunError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CannotRunError(
            f"{folder} cannot be written to ({error.strerror}). Choose another folder."
        ) from None


def _build(options: argparse.Namespace) -> int:
    _needs(*MAKERS)
    from model.checkpoints.build import build

    _make_folder(options.folder)
    try:
        build(
            options.folder,
            options.layout,
            decoder=options.decoder,
            preset=options.preset,
            mel_bins=options.mel_bins,
            adapter=options.adapter,
            seed=options.seed,
            dtype=options.dtype,
            shards=options.shards,
            v1_index=options.v1_index,
            lm_head=options.lm_head,
        )
    except ValueError as error:
        raise CannotRunError(str(error)) from error
    return _inspect(options)


def _convert(options: argparse.Namespace) -> int:
    _needs(*MAKERS)
    from model.checkpoints.convert import convert
    from model.embedded.weights import WeightsError

    _make_folder(options.folder)
    try:
        convert(options.folder, adapter=options.adapter, dtype=options.dtype, seed=options.seed)
    except WeightsError as error:
        raise CannotRunError(str(error)) from error
    return _inspect(options)


def _assemble(options: argparse.Namespace) -> int:
    from model.checkpoints.assemble import assemble
    from model.embedded.weights import WeightsError, default_cache
    from model.mini.tensors import ModelError

    _make_folder(options.folder)
    try:
        assemble(options.model, options.folder, default_cache())
    except (ModelError, WeightsError) as error:
        raise CannotRunError(str(error)) from error
    return _inspect(options)


def _download(options: argparse.Namespace) -> int:
    _needs("huggingface_hub")
    from model.checkpoints.download import DownloadError, download, licence_of

    print(f"{options.hub_id} is under: {licence_of(options.hub_id)}.")
    if not options.accept_licence:
        print("Read the licence on its model card. If you agree to it, add --accept-licence.")
        return 1
    try:
        commit = download(options.hub_id, options.folder, options.revision)
    except DownloadError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Downloaded at the revision {commit}; give it with --revision to get the same files again.")
    return _inspect(options)


def _shipped(text: str) -> Path:
    return WEIGHTS if text == MINI_ID else Path(text)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model.checkpoints", description="Checkpoint folders.")
    commands = parser.add_subparsers(required=True)

    inspected = commands.add_parser("inspect", help="say what a folder holds and what is wrong with it")
    inspected.add_argument("folder", type=Path)
    inspected.set_defaults(run=_inspect)

    built = commands.add_parser("build", help="write a checkpoint with random weights")
    built.add_argument("folder", type=Path)
    built.add_argument("--layout", choices=[layout.id for layout in LAYOUTS], default="v2")
    built.add_argument("--decoder", choices=["gemma2", "llama"], default="gemma2")
    built.add_argument("--preset", choices=["tiny", "base-100m"], default="tiny")
    built.add_argument("--adapter", choices=["mlp", "gated"], help="for the layout 'open'")
    built.add_argument("--mel-bins", type=int, choices=[80, 128])
    built.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="float32")
    built.add_argument("--shards", type=_positive, default=1)
    built.add_argument("--seed", type=int, default=0)
    built.add_argument("--v1-index", type=int, choices=[2, 3], default=3, help="of v1's last adapter layer")
    built.add_argument("--lm-head", action="store_true", help="write the tied output layer too")
    built.set_defaults(run=_build)

    converted = commands.add_parser("convert", help="join the packaged Whisper base and SmolLM2")
    converted.add_argument("folder", type=Path)
    converted.add_argument("--adapter", choices=["mlp", "gated"], default="mlp")
    converted.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="float32")
    converted.add_argument("--seed", type=int, default=0, help="of the new adapter")
    converted.set_defaults(run=_convert)

    assembled = commands.add_parser("assemble", help="make what ships of a small model a whole checkpoint")
    assembled.add_argument("model", type=_shipped, help=f"{MINI_ID}, or a folder that training.ship wrote")
    assembled.add_argument("folder", type=Path)
    assembled.set_defaults(run=_assemble)

    fetched = commands.add_parser("download", help="fetch a published checkpoint from Hugging Face")
    fetched.add_argument("hub_id")
    fetched.add_argument("folder", type=Path)
    fetched.add_argument("--revision", help="a commit, a tag or a branch; without it, the newest commit")
    fetched.add_argument("--accept-licence", action="store_true", help="you have read its licence and agree")
    fetched.set_defaults(run=_download)
    return parser


if __name__ == "__main__":
    sys.exit(main())
