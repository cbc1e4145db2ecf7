"""Make a corpus of synthetic speech, or read recordings of people into one.

python -m training.data.synthesise --config training/configs/synthesise_mini.yaml  # goes on where it stopped
python -m training.data.synthesise --config FILE --dry-run --set clips.train=500   # what it would make
python -m training.data.synthesise --config FILE --shards 47-90  # a part of it: others on another machine
python -m training.data.synthesise --config FILE --so-far  # index what is there by now
python -m training.data.synthesise --human corpora/human                            # from Debian packages
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from training.config import load
from training.data.synthesise.build import build, planned
from training.data.synthesise.config import Synthesis
from training.data.synthesise.corpus import describe
from training.data.synthesise.human import read_people
from training.errors import run


def main(arguments: list[str] | None = None) -> int:
    """Command line; prints one JSON line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.data.synthesise",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--config", type=Path, metavar="FILE", help="the corpus to make")
    kind.add_argument("--human", type=Path, metavar="DIR", help="where to put dev and test sets of people")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    parser.add_argument("--dry-run", action="store_true", help="say what would be made, and make nothing")
    parser.add_argument(
        "--shards",
        type=_shards,
        metavar="FIRST-LAST",
        help="of train, make these shards only (0-9: the first ten)",
    )
    parser.add_argument("--so-far", action="store_true", help="index the finished shards, and make no more")
    chosen = parser.parse_args(arguments)

    def work() -> None:
        print(json.dumps(_result(chosen), ensure_ascii=False))

    return run(work)


def _result(chosen: argparse.Namespace) -> dict[str, Any]:
    if chosen.human is not None:
        return read_people(chosen.human)
    config = load(Synthesis, chosen.config, chosen.overrides)
    if chosen.so_far:
        return {"out": str(config.out)} | describe(config)["total"]
    return planned(config) if chosen.dry_run else build(config, chosen.shards)


def _shards(text: str) -> range:
    """The numbers from FIRST to LAST."""
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
        raise argparse.ArgumentTypeError(f"{text!r} is not two numbers such as 47-90")
    return range(int(first), int(last) + 1)


if __name__ == "__main__":
    sys.exit(main())
