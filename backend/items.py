"""The pieces of an answer, in order and packed: a thousand long answers are under way at times.

A word as an object takes a hundred bytes beside its letters. So each full block of words is kept as one text
and the places where it was cut.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any, TypeAlias, overload

from backend.answer import Token

_BLOCK = 64  # items

_Packed: TypeAlias = "tuple[str, array[int]] | list[Any]"


class Items(Sequence[Any]):
    """A list that only grows. What is read from it equals what was put in; words are not the same objects."""

    def __init__(self, items: Iterable[Any] = ()) -> None:
        self._blocks: list[_Packed] = []
        self._tail: list[Any] = []
        self.extend(items)

    def append(self, item: Any) -> None:
        """Put one more in."""
        self._tail.append(item)
        if len(self._tail) == _BLOCK:
            self._blocks.append(_packed(self._tail))
            self._tail = []

    def extend(self, items: Iterable[Any]) -> None:
        """Put more in."""
        for item in items:
            self.append(item)

    def __len__(self) -> int:
        return _BLOCK * len(self._blocks) + len(self._tail)

    def __iter__(self) -> Iterator[Any]:
        return self.since(0)

    def since(self, start: int) -> Iterator[Any]:
        """Go through those from number `start` on."""
        block, first = divmod(start, _BLOCK)
        for at in range(block, len(self._blocks)):
            yield from _unpacked(self._blocks[at])[first:]
            first = 0
        yield from self._tail[max(start - _BLOCK * len(self._blocks), 0) :]

    @overload
    def __getitem__(self, at: int) -> Any: ...
    @overload
    def __getitem__(self, at: slice) -> list[Any]: ...
    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            return list(self.since(start))[: max(stop - start, 0) : step]
        number = range(len(self))[at]
        block, within = divmod(number, _BLOCK)
        return self._tail[within] if block == len(self._blocks) else _unpacked(self._blocks[block])[within]


def _packed(items: list[Any]) -> _Packed:
    if not all(type(item) is Token for item in items):
        return items
    return "".join(item.text for item in items), array("L", accumulate(len(item.text) for item in items))


def _unpacked(block: _Packed) -> list[Any]:
    if isinstance(block, list):
        return block
    text, ends = block
    return [Token(text[start:end]) for start, end in pairwise([0, *ends])]
