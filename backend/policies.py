"""Which of the instances with a free place gets a request: a small class a policy, and the table of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from math import log
from typing import Protocol
from weakref import WeakKeyDictionary

from backend.instance import Instance
from backend.work import Ask


class Policy(Protocol):
    """Chooses one of at least one instance, each of which may have the request."""

    def choose(self, candidates: Sequence[Instance], ask: Ask) -> Instance:
        """Return one of `candidates`."""
        ...


class LeastWork:
    """The least work not yet done for its weight; among equals the one that was asked longest ago."""

    def choose(self, candidates: Sequence[Instance], ask: Ask) -> Instance:
        """Return one of `candidates`."""
        return min(candidates, key=lambda one: (load(one), one.turn))


class PowerOfTwo:
    """The less loaded of two drawn by lot: controllers that do not see each other's work do not all agree."""

    def __init__(self, lot: random.Random | None = None) -> None:
        self._lot = lot.sample if lot else random.sample

    def choose(self, candidates: Sequence[Instance], ask: Ask) -> Instance:
        """Return one of `candidates`."""
        return min(self._lot(candidates, min(2, len(candidates))), key=load)


class RoundRobin:
    """Each in its turn; one of twice the weight has two turns."""

    def __init__(self) -> None:
        self._turns: WeakKeyDictionary[Instance, float] = WeakKeyDictionary()
        self._now = 0.0

    def choose(self, candidates: Sequence[Instance], ask: Ask) -> Instance:
        """Return one of `candidates`."""
        chosen = min(candidates, key=self._next)
        self._now = self._next(chosen)
        self._turns[chosen] = self._now + 1 / chosen.weight
        return chosen

    def _next(self, instance: Instance) -> float:
        return max(self._turns.get(instance, 0.0), self._now)  # who was away does not catch up


class Affinity:
    """The instance that met the same sound before, whose caches are warm, unless it has far more to do.

    Rendezvous hashing: every instance has a rank for every sound, so that one that comes or goes moves only
    its own share of the sounds. Without a sound, LeastWork.
    """

    def __init__(self, bound: float) -> None:
        """Pass over an instance with more than `bound` times the mean load, this request included."""
        self._bound = bound
        self._otherwise = LeastWork()

    def choose(self, candidates: Sequence[Instance], ask: Ask) -> Instance:
        """Return one of `candidates`."""
        if not ask.affinity:
            return self._otherwise.choose(candidates, ask)
        work = ask.work.cost() + sum(one.outstanding for one in candidates)
        most = self._bound * work / sum(one.weight for one in candidates)
        within = [one for one in candidates if load(one) <= most]
        return max(within, key=lambda one: rank(one, ask.affinity))


def load(instance: Instance) -> float:
    """Return the work not yet done for one unit of its weight."""
    return instance.outstanding / instance.weight


def rank(instance: Instance, affinity: str) -> float:
    """Return how gladly an instance takes a sound: the same for ever, and first as often as its weight says.

    Weighted rendezvous hashing (Schindelhauer and Schomaker, 2005).
    """
    digest = blake2b(f"{instance.name}\0{affinity}".encode(), digest_size=8).digest()
    return -instance.weight / log((int.from_bytes(digest) + 0.5) / 2**64)


POLICIES: Mapping[str, Callable[[float], Policy]] = {
    "affinity": Affinity,
    "least_work": lambda _: LeastWork(),
    "power_of_two": lambda _: PowerOfTwo(),
    "round_robin": lambda _: RoundRobin(),
}
"""By the setting `balance`, made with the setting `affinity_bound`."""
