"""How many instances an event needs, and how many visitors an instance carries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from benchmarks.capacity.profile import ProfileError
from benchmarks.capacity.questions import Visit
from benchmarks.capacity.simulate import Outcome, Setup, quantile, simulate

MOST = 64  # instances that are tried


@dataclass(frozen=True)
class Bar:
    """What visitors must find."""

    ttft_s: float = 2.0
    share: float = 0.95  # of the answers that engines give come within that
    failed: float = 0.001  # questions turned away or given up, at most

    def met(self, outcomes: Sequence[Outcome]) -> bool:
        """Whether every one of some outcomes meets it."""
        return all(
            outcome.failed <= self.failed and not quantile(outcome.ttft(), self.share) > self.ttft_s
            for outcome in outcomes
        )


def smallest(
    events: Sequence[Sequence[Visit]], setup: Setup, bar: Bar, start: int = 1
) -> tuple[int, list[Outcome]]:
    """Return the fewest instances with which all of some events meet the bar, and what came of them.

    More instances are taken never to do worse. Raises ProfileError when `MOST` do not suffice.
    """
    tried: dict[int, list[Outcome]] = {}

    def meets(count: int) -> bool:
        tried[count] = []
        for seed, visits in enumerate(events):  # the first that fails says no
            tried[count].append(simulate(visits, replace(setup, instances=count), seed))
            if not bar.met(tried[count]):
                return False
        return True

    low, high = 0, max(start, 1)
    while not meets(high):
        low, high = high, 2 * high
        if low >= MOST:
            raise ProfileError(
                f"{low} instances do not meet the bar. Take fewer visitors, or allow more time."
            )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if meets(middle) else (middle, high)
    return high, tried[high]


def most(
    draw: Callable[[int, int], Sequence[Visit]],
    setup: Setup,
    bar: Bar,
    start: int,
    seeds: int,
    closely: float = 0.05,
) -> int:
    """Return how many visitors, to within `closely`, a setup carries; `draw` makes so many for a seed."""

    def meets(visitors: int) -> bool:
        return all(bar.met([simulate(draw(visitors, seed), setup, seed)]) for seed in range(1, seeds + 1))

    low, high = 0, start
    while meets(high):
        low, high = high, 2 * high
    while high - low > max(closely * high, 1):
        middle = (low + high) // 2
        low, high = (middle, high) if meets(middle) else (low, middle)
    return low
