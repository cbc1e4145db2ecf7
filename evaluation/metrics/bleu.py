"""Corpus BLEU by sacrebleu, as AudioBench calls it: raw text, exp smoothing, no effective order.

Only a text of length 0 becomes "empty"; a single space does not, and has no words.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU

from evaluation.errors import MetricError

TOKENIZERS = ("13a", "zh", "flores101", "flores200", "intl", "char", "none")
PATIENCE_S = 30  # without a byte of a tokenizer's model
_INSTEAD = "The paper's figures are by 13a, and by zh into Chinese."
_ORDERS = 4  # n-grams of 1 to 4 words
Counts = NDArray[
    np.int64
]  # a row a line: words of hypothesis and reference, matches by order, n-grams by order


@dataclass(frozen=True)
class Bleu:
    """Corpus BLEU and what it hangs on."""

    value: float  # 0 to 100
    signature: str  # sacrebleu's: references, case, tokenizer, smoothing, version


class Counter:
    """Counts the n-grams of lines; BLEU of any set of lines follows from the sum of their counts."""

    def __init__(self, tokenize: str = "13a") -> None:
        """Raises MetricError for an unknown tokenizer, or one that is not there and cannot be fetched."""
        self._bleu = _bleu(tokenize)

    def counts(self, reference: str, hypothesis: str) -> list[int]:
        """The row of a line in Counts."""
        found = self._bleu.corpus_score([hypothesis or "empty"], [[reference or "empty"]])
        return [found.sys_len, found.ref_len, *found.counts, *found.totals]

    def score(self, summed: Sequence[int]) -> float:
        """BLEU, 0 to 100, of counts summed over lines."""
        said, wanted, *rest = map(int, summed)
        return float(
            BLEU.compute_bleu(rest[:_ORDERS], rest[_ORDERS:], said, wanted, smooth_method="exp").score
        )

    @property
    def signature(self) -> str:
        """sacrebleu's, once a line is counted."""
        return str(self._bleu.get_signature())


def counted(references: Sequence[str], hypotheses: Sequence[str], counter: Counter) -> Counts:
    """The counts of all lines, [n, 10]. Raises MetricError where the two differ in length."""
    if len(references) != len(hypotheses):
        raise MetricError(
            f"There are {len(references)} references and {len(hypotheses)} hypotheses; give one for each."
        )
    rows = [counter.counts(*pair) for pair in zip(references, hypotheses, strict=True)]
    return np.array(rows, np.int64).reshape(-1, 2 + 2 * _ORDERS)


def corpus(references: Sequence[str], hypotheses: Sequence[str], tokenize: str = "13a") -> Bleu:
    """Corpus BLEU of one hypothesis a reference.

    `tokenize` as sacrebleu names it: AudioBench has 13a, and for En-Zh zh (the paper's tables) or flores101
    (since March 2025). Raises MetricError.
    """
    counter = Counter(tokenize)
    counts = counted(references, hypotheses, counter)
    if not len(counts):
        raise MetricError("There is no translation to score. Run some first.")
    return Bleu(counter.score(counts.sum(axis=0).tolist()), counter.signature)


def _bleu(tokenize: str) -> BLEU:
    if tokenize not in TOKENIZERS:
        raise MetricError(f"There is no tokenizer {tokenize!r}. Choose one of: {', '.join(TOKENIZERS)}.")
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE_S)
    try:
        return BLEU(tokenize=tokenize, smooth_method="exp", effective_order=False)
    except ImportError:
        raise MetricError(
            f"The tokenizer {tokenize} needs sentencepiece: pip install sentencepiece. {_INSTEAD}"
        ) from None
    except (Exception, SystemExit) as error:  # sacrebleu ends the process where a certificate is wrong
        raise MetricError(
            f"The model of the tokenizer {tokenize} cannot be fetched ({error or type(error).__name__}). "
            f"Connect to the network once, or set SACREBLEU to a folder that has it under models/. {_INSTEAD}"
        ) from None
    finally:
        socket.setdefaulttimeout(patience)
