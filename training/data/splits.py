"""Train, dev and test with no speaker in two of them: who is heard together stays together."""

from __future__ import annotations

import hashlib
from collections.abc import Set

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from training.data.duplicates import numbered
from training.data.settings import Splits

FEWEST = 3  # groups of speakers: with fewer there is not one for each split


def groups(audio: pa.ChunkedArray, speakers: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[str]]:
    """Which rows must stay together: a group's number for each row, and for each group the name it goes by.

    Rows are joined by a speaker and by their sound (`audio`: its hash), directly or over other rows. A group
    goes by its first speaker in the alphabet, or where none is known by its first sound.
    """
    of_sound, sounds = numbered(audio)
    rows, listed = pc.list_parent_indices(speakers), pc.list_flatten(speakers)
    of_name, names = numbered(listed)
    size = len(sounds) + len(names)
    ends = of_sound[np.asarray(rows)], len(sounds) + of_name
    edges = coo_array((np.ones(of_name.size, bool), ends), shape=(size, size))
    count, label = connected_components(edges, directed=False)
    called = [""] * count
    # Backwards, so that the first of each is written last, and speakers after sounds.
    for values, labels in ((sounds, label[: len(sounds)]), (names, label[len(sounds) :])):
        for at in np.asarray(pc.sort_indices(values, sort_keys=[("", "descending")])):
            called[labels[at]] = values[int(at)].as_py()
    return label[of_sound], called


def assign(called: list[str], test: Set[int], not_test: Set[int], splits: Splits) -> list[str]:
    """The split of each group by a hash of what it goes by; those in `test` are it, those in `not_test` not.

    A share that would stay empty gets the group that comes nearest, if there are three groups or more.
    """
    chance = [_chance(name, splits.seed) for name in called]
    found = ["test" if group in test else _split(value, splits) for group, value in enumerate(chance)]
    for group in not_test - test:
        if found[group] == "test":
            found[group] = "train"
    if len(called) >= FEWEST:
        nearest = sorted(range(len(called)), key=lambda group: chance[group])
        for split, share, barred in (("test", splits.test, not_test), ("dev", splits.dev, frozenset())):
            movable = (group for group in nearest if found[group] == "train" and group not in barred)
            for group in movable if share and split not in found else ():
                found[group] = split
                break
    return found


def _split(chance: float, splits: Splits) -> str:
    if chance < splits.test:
        return "test"
    return "dev" if chance < splits.test + splits.dev else "train"


def _chance(name: str, seed: int) -> float:
    """From 0 to 1, the same for the same name and seed."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "big") / 2**64
