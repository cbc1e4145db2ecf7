"""Look at checkpoints, and make small ones.

python -m model.checkpoints inspect DIR
python -m model.checkpoints build DIR --layout v1|v2|v3-asr|open [--decoder llama] [--preset base-100m] ...
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from model.checkpoints.inspect import inspect
from model.layouts import LAYOUTS


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 1 when a checkpoint cannot be served."""
    options = _parser().parse_args(arguments)
    run: int = options.run(options)
    return run


def _inspect(options: argparse.Namespace) -> int:
    report = inspect(options.folder)
    print(report.summary())
    return 1 if report.problems else 0


def _build(options: argparse.Namespace) -> int:
    from model.checkpoints.build import build

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
    return _inspect(options)


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
    built.add_argument("--shards", type=int, default=1)
    built.add_argument("--seed", type=int, default=0)
    built.add_argument("--v1-index", type=int, choices=[2, 3], default=3, help="of v1's last adapter layer")
    built.add_argument("--lm-head", action="store_true", help="write the tied output layer too")
    built.set_defaults(run=_build)
    return parser


if __name__ == "__main__":
    sys.exit(main())
