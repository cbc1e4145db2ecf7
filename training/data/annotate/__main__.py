"""Make questions, summaries, gender and accent rows out of a built corpus, with any OpenAI endpoint.

python -m training.data.annotate --config training/configs/annotate.yaml            # goes on where it stopped
python -m training.data.annotate --config FILE --dry-run                            # how much would be asked
python -m training.data.annotate --config FILE --set endpoint.url=http://host:8000/v1
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from training.config import load
from training.data.annotate.build import annotate, planned
from training.data.annotate.config import Annotation
from training.errors import run


def main(arguments: list[str] | None = None) -> int:
    """Command line; prints one JSON line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.data.annotate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    parser.add_argument("--dry-run", action="store_true", help="say how much would be asked, and ask nothing")
    chosen = parser.parse_args(arguments)

    def work() -> None:
        config = load(Annotation, chosen.config, chosen.overrides)
        result = planned(config) if chosen.dry_run else annotate(config)
        print(json.dumps(result, ensure_ascii=False))

    return run(work)


if __name__ == "__main__":
    sys.exit(main())
