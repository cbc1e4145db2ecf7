"""The no-repeat n-gram guard: no n tokens in a row that were there already.

One answer's; `model.vllm_plugin.no_repeat` keeps one a request.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable


class NoRepeat:
    """The tokens of an answer and what has followed each (n - 1)-gram of them."""

    def __init__(self, size: int, prompt: Iterable[int] = (), free: Iterable[int] = ()) -> None:
        """`size` is n, at least 2; 0 bans nothing. `prompt` counts from the start.

        `free` tokens are never banned, nor is what follows (n - 1) of them, such as a mark of who speaks.
        """
        self._size = size
        self._free = frozenset(free)
        self._tokens: list[int] = []
        self._followers: defaultdict[tuple[int, ...], set[int]] = defaultdict(set)
        for token in prompt:
            self.add(token)

    def add(self, token: int) -> None:
        """Take note of the next token."""
        if self._size and len(self._tokens) >= self._size - 1:
            self._followers[self._last()].add(token)
        self._tokens.append(token)

    def banned(self) -> set[int]:
        """The tokens that would repeat an n-gram now."""
        if not self._size or len(self._tokens) < self._size:
            return set()
        last = self._last()
        return set() if self._free.issuperset(last) else self._followers.get(last, set()) - self._free

    def _last(self) -> tuple[int, ...]:
        return tuple(self._tokens[len(self._tokens) - self._size + 1 :])
