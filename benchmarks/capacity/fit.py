"""Find a profile's figures from what was measured: the bench is run again, in the simulator.

A bench keeps so many requests in flight, each with a sound of its own, and writes down the mean time to the
first token and the mean time between tokens. What it shows at 16 at once is not what one request takes beside
15 that are being written: some of the 15 are being read at any time. So figures are sought with which the
simulated bench gives the measured table.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from math import inf, sqrt

from benchmarks.capacity.agenda import Agenda
from benchmarks.capacity.engine import Engine, Job
from benchmarks.capacity.profile import Profile, ProfileError

_SHRINK, _SMALLEST = 0.5, 0.004
_ROUNDS = 400


@dataclass(frozen=True)
class Cell:
    """A bench's row: so many in flight, of one length; mean times in ms."""

    audio_s: float
    at_once: int
    ttft_ms: float
    itl_ms: float
    tokens: int  # of an answer, on average
    trials: int = 120
    warm: bool = False  # about a sound that the engine has met
    varies: float = 0.5  # answers' lengths, up and down, as a share of the mean


@dataclass(frozen=True)
class Bound:
    """Between what two figures to look for one, and where to begin."""

    start: float
    low: float
    high: float


def bench(profile: Profile, cell: Cell, seed: int = 0) -> tuple[float, float]:
    """Return the mean times to the first token and between tokens, in ms, that a bench would find."""
    lot = random.Random(seed)
    agenda = Agenda()
    engine = Engine(profile, agenda)
    ttft: list[float] = []
    itl: list[float] = []
    numbers = count()

    def send() -> None:
        number = next(numbers)
        if number >= cell.trials:
            return
        sent, tokens = agenda.now, max(2, round(cell.tokens * lot.uniform(1 - cell.varies, 1 + cell.varies)))
        began = 0.0

        def first() -> None:
            nonlocal began
            began = agenda.now
            ttft.append(began - sent)

        def ended() -> None:
            itl.append((agenda.now - began) / (tokens - 1))
            send()

        engine.begin(Job("met" if cell.warm else f"{number}", cell.audio_s, tokens, first, ended))

    if cell.warm:
        engine.begin(Job("met", cell.audio_s, 1, lambda: None, lambda: None))
        agenda.run()
    for _ in range(cell.at_once):
        send()
    agenda.run()
    return 1_000 * sum(ttft) / len(ttft), 1_000 * sum(itl) / len(itl)


def error(profile: Profile, cells: Sequence[Cell]) -> float:
    """Return the root of the mean squared error of all times, each as a share of what was measured."""
    total = 0.0
    for cell in cells:
        ttft, itl = bench(profile, cell)
        total += (ttft / cell.ttft_ms - 1) ** 2 + (itl / cell.itl_ms - 1) ** 2
    return sqrt(total / (2 * len(cells)))


def fit(
    start: Profile,
    bounds: dict[str, Bound],
    cells: Sequence[Cell],
    tied: Callable[[dict[str, float]], dict[str, float]] = dict,
) -> Profile:
    """Look for the figures in `bounds`; `tied` says what others follow from them. Raises ProfileError.

    A pattern search: one figure after another a step up or down, with steps that shrink where nothing helps.
    """
    if not cells:
        raise ProfileError("There is nothing to fit a profile to. Measure some cells first.")
    at = {name: bound.start for name, bound in bounds.items()}
    steps = dict.fromkeys(bounds, 0.25)  # of the range

    def judged(figures: dict[str, float]) -> tuple[float, Profile]:
        whole = {**start.model_dump(), **figures, **tied(figures)}
        try:
            profile = Profile.model_validate(whole)
        except ValueError:
            return inf, start
        return error(profile, cells), profile

    best, profile = judged(at)
    for _ in range(_ROUNDS):
        for name, bound in bounds.items():
            for sign in (1, -1):
                moved = at[name] + sign * steps[name] * (bound.high - bound.low)
                moved = min(max(moved, bound.low), bound.high)
                if moved == at[name]:
                    continue
                found, candidate = judged({**at, name: moved})
                if found < best:
                    best, profile, at = found, candidate, {**at, name: moved}
                    break
            else:
                steps[name] *= _SHRINK
        if max(steps.values()) < _SMALLEST:
            break
    if best == inf:
        raise ProfileError("No figures between the bounds make a profile. Widen them.")
    return profile
