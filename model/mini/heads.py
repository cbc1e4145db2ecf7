"""The beginnings of conversations that were read before: a second question about a clip is quick.

A clip stands before its question, so what the decoder made of the prompt up to its end can be kept.
It is always read in the same steps, kept or not, so that the answer is the same to the last bit.
"""

from __future__ import annotations

from collections import OrderedDict

from model.mini.decoder import Cache
from model.mini.functional import Array

MOST_TOKENS = 2_048  # kept in all: 94 MB in SmolLM2-135M, six clips of 30 s


class Heads:
    """Keys and values of the last beginnings, by what they were made from."""

    def __init__(self, most_tokens: int = MOST_TOKENS) -> None:
        self._most = most_tokens
        self._kept: OrderedDict[str, tuple[Array, Array]] = OrderedDict()

    def load(self, key: str, cache: Cache) -> bool:
        """Put a beginning into an empty cache, if it is kept."""
        if key not in self._kept:
            return False
        self._kept.move_to_end(key)
        keys, values = self._kept[key]
        cache.length = keys.shape[2]
        cache.keys[:, :, : cache.length], cache.values[:, :, : cache.length] = keys, values
        return True

    def keep(self, key: str, cache: Cache) -> None:
        """Keep all that a cache holds; the oldest go where there is no room."""
        if cache.length > self._most:
            return
        filled = slice(cache.length)
        self._kept[key] = cache.keys[:, :, filled].copy(), cache.values[:, :, filled].copy()
        while sum(keys.shape[2] for keys, _ in self._kept.values()) > self._most:
            self._kept.popitem(last=False)
