"""Which token comes next: the likeliest at temperature 0, else one drawn, always the same with a seed."""

from __future__ import annotations

import numpy as np

from model.mini.functional import Array, softmax


class Choice:
    """How the tokens of one answer are chosen."""

    def __init__(self, temperature: float = 0.0, top_p: float = 1.0, seed: int | None = None) -> None:
        """`top_p`: of the likeliest tokens, so many as have this share together."""
        self._temperature, self._top_p = temperature, top_p
        self._random = np.random.default_rng(seed)

    def __call__(self, logits: Array) -> int:
        """A token, by logits [vocabulary]; those at minus infinity are never chosen."""
        if not self._temperature:
            return int(logits.argmax())
        shares = softmax((logits / np.float32(self._temperature)).astype(np.float32))
        order = np.argsort(shares)[::-1]
        total = np.cumsum(shares[order], dtype=np.float64)
        # The token that reaches the share is in, so there is always one.
        kept = int(np.searchsorted(total, self._top_p * total[-1])) + 1
        drawn = self._random.random() * total[min(kept, len(total)) - 1]
        return int(order[np.searchsorted(total, drawn, side="right")])
