"""Which token comes next: the likeliest at temperature 0, else one drawn, always the same with a seed."""

from __future__ import annotations

import numpy as np

from model.mini.functional import Array, softmax

GREEDY = 1e-5  # temperatures below are 0, as in vLLM: float32 cannot divide by them
NO_SEED = -1  # as in vLLM


class Choice:
    """How the tokens of one answer are chosen."""

    def __init__(self, temperature: float = 0.0, top_p: float = 1.0, seed: int | None = None) -> None:
        """`top_p`: of the likeliest tokens, so many as have this share together."""
        self._temperature, self._top_p = (0.0 if temperature < GREEDY else temperature), top_p
        # Any seed of 64 bits is one; NumPy wants it without a sign.
        self._random = np.random.default_rng(None if seed is None or seed == NO_SEED else seed % 2**64)

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
