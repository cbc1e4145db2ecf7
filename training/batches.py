"""Batches of rows of about one length, in an order that is arithmetic on the step: nothing to replay."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from torch.utils.data import Dataset

from training.data.order import shuffled

POOL = 64  # batches whose rows are sorted among each other: short and long ones are still mixed


class Items(Protocol):
    """A map-style data set."""

    def __getitem__(self, index: int) -> Any: ...


class Batches(Dataset[list[Any]]):
    """`count` lists of `size` items; every item once an epoch, but for a few that do not fill a batch."""

    def __init__(self, items: Items, lengths: Sequence[int], size: int, count: int, seed: int) -> None:
        """`lengths` of the items, in any unit."""
        self._items, self._lengths = items, np.asarray(lengths)
        self._size, self._count, self._seed = min(size, len(lengths)), count, seed
        self._epoch = lru_cache(maxsize=2)(self._bucketed)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> list[Any]:
        if not 0 <= index < self._count:
            raise IndexError(f"There is no batch {index}; there are {self._count}.")
        epoch = index // (len(self._lengths) // self._size)
        return [self._item(int(place), epoch) for place in self.places(index)]

    def _item(self, place: int, epoch: int) -> Any:
        """An item as an epoch has it."""
        return self._items[place]

    def places(self, index: int) -> np.ndarray:
        """Which items batch `index` holds."""
        epoch, number = divmod(index, len(self._lengths) // self._size)
        places: np.ndarray = self._epoch(epoch)[number]
        return places

    def _bucketed(self, epoch: int) -> list[np.ndarray]:
        order = shuffled(len(self._lengths), self._seed, epoch)
        batches = []
        for at in range(0, order.size, POOL * self._size):
            pool = order[at : at + POOL * self._size]
            pool = pool[np.argsort(self._lengths[pool], kind="stable")]
            full = pool.size // self._size * self._size
            batches += list(pool[:full].reshape(-1, self._size))
        return [batches[place] for place in shuffled(len(batches), self._seed, epoch, 1)]
