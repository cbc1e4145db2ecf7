"""Score stored answers, and print one JSON line.

python -m evaluation.metrics wer   --input FILE.jsonl [--part4]         rows: id, ref, hyp
python -m evaluation.metrics bleu  --input FILE.jsonl [--tokenize zh]   rows: id, ref, hyp
python -m evaluation.metrics judge --input FILE.jsonl                   rows: id, reply, scale (5 or 1)
python -m evaluation.metrics mmau  --input FILE.jsonl                   rows: id, answer, choices, prediction

`wer` and `accuracy` are fractions, `bleu` and `score` go from 0 to 100; `low` and `high`, the ends of the
95 % interval by bootstrap over rows, are in the same unit. Exit codes: 0 done, 2 the rows cannot be scored (a
sentence on stderr, nothing on stdout), 130 ended by ctrl-C.
"""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run one command."""
    try:
        from evaluation.metrics.command import (
            run,
        )  # numpy and sacrebleu take a moment, in which ctrl-C may come

        return run(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
