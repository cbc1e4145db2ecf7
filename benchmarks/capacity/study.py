"""The runs behind `capacity.md`: sizes, what caches save, policies, what is not known. A row a job."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import sqrt
from typing import Any

from backend.policies import POLICIES
from benchmarks.capacity import visits
from benchmarks.capacity.profile import Profile
from benchmarks.capacity.questions import Visit
from benchmarks.capacity.simulate import Outcome, Setup, changed, quantile, simulate
from benchmarks.capacity.sizing import Bar, most, smallest
from benchmarks.capacity.visits import Mix

_T95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36}  # Student's t, two-sided, by seeds


@dataclass(frozen=True)
class Event:
    """A shape with so many visitors, and what they do."""

    shape: str
    visitors: int
    assumed: Mix = field(default_factory=Mix)


@dataclass(frozen=True)
class Size:
    """How many instances an event needs, and what visitors find with them: a value for each seed."""

    event: Event
    instances: int
    questions: list[int]
    p50: list[float]
    p95: list[float]
    worst: list[float]  # the p95 of the worst ten minutes
    failed: list[float]
    kept: list[float]  # the share of questions that no engine was asked
    work_s: list[float]


@dataclass(frozen=True)
class Variant:
    """A setup by name, and what it makes of an event: a value for each seed."""

    name: str
    instances: int
    work_s: list[float]
    warm: list[float]
    p50: list[float]
    p95: list[float]
    failed: list[float]


@lru_cache(maxsize=4)
def drawn(event: Event, seed: int, spread: float) -> tuple[Visit, ...]:
    """An event's visits; the same seed gives every setup the same visitors."""
    return tuple(visits.draw(event.shape, event.visitors, seed, event.assumed, spread))


def size(event: Event, setup: Setup, bar: Bar, seeds: int, start: int = 1) -> Size:
    """Find an event's size."""
    events = [drawn(event, seed, setup.profile.spread) for seed in range(1, seeds + 1)]
    count, outcomes = smallest(events, setup, bar, start)
    return Size(
        event,
        count,
        [len(one.calls) for one in outcomes],
        [quantile(one.ttft(), 0.5) for one in outcomes],
        [quantile(one.ttft(), 0.95) for one in outcomes],
        [one.busiest(0.95, 600.0) for one in outcomes],
        [one.failed for one in outcomes],
        [(one.fates["kept"] + one.fates["joined"]) / len(one.calls) for one in outcomes],
        [one.work_s for one in outcomes],
    )


def carried(event: Event, setup: Setup, bar: Bar, seeds: int) -> int:
    """Return how many visitors of an event's kind a setup carries, beginning to look at the event's own."""
    return most(
        lambda visitors, seed: visits.draw(event.shape, visitors, seed, event.assumed, setup.profile.spread),
        setup,
        bar,
        event.visitors,
        seeds,
    )


def variant(name: str, event: Event, setup: Setup, seeds: int) -> Variant:
    """Run an event with one setup."""
    outcomes = [
        simulate(drawn(event, seed, setup.profile.spread), setup, seed) for seed in range(1, seeds + 1)
    ]
    return Variant(
        name,
        setup.instances,
        [one.work_s for one in outcomes],
        [one.warm / max(one.met, 1) for one in outcomes],
        [quantile(one.ttft(), 0.5) for one in outcomes],
        [quantile(one.ttft(), 0.95) for one in outcomes],
        [one.failed for one in outcomes],
    )


def savings(setup: Setup) -> list[tuple[str, Setup]]:
    """Setups that lack one thing each, and one that lacks all."""
    return [
        ("all on", setup),
        ("no kept answers", replace(setup, keeps=False)),
        ("no single flight", replace(setup, joins=False)),
        ("neither of the two", replace(setup, keeps=False, joins=False)),
        ("`least_work` for `affinity`", replace(setup, policy="least_work")),
        ("no encoder caches", replace(setup, encoder_cache=False)),
        (
            "none of all that",
            replace(setup, keeps=False, joins=False, encoder_cache=False, policy="least_work"),
        ),
    ]


def policies(setup: Setup) -> list[tuple[str, Setup]]:
    """A setup a policy."""
    return [(f"`{name}`", replace(setup, policy=name)) for name in POLICIES]


def doubts(setup: Setup, event: Event) -> list[tuple[str, Setup, Event]]:
    """What is not known, each moved to where it would hurt, or help."""
    profile = setup.profile

    def mix(**figures: Any) -> Event:
        return replace(event, assumed=event.assumed.model_copy(update=figures))

    both: Mapping[str, float] = {
        "apart_ms": 0.0,
        "apart_ms_per_s": 0.0,
        "read_ms": profile.read_ms + profile.apart_ms,
        "read_ms_per_s": profile.read_ms_per_s + profile.apart_ms_per_s,
    }
    return [
        ("as assumed", setup, event),
        ("all that comes before the first token is read one after another", changed(setup, **both), event),
        ("nothing is written while something is read (`stall` 0.95)", changed(setup, stall=0.95), event),
        ("every token takes a quarter longer", _slower(setup, profile), event),
        ("8 places", changed(setup, places=8), event),
        ("32 places, a token's time going on in a straight line", changed(setup, places=32), event),
        ("a sound that was met is read as a new one", replace(setup, encoder_cache=False), event),
        ("answers twice as long", setup, mix(short_tokens=(16, 120), long_tokens=(100, 320))),
        ("recordings twice as long", setup, mix(own_median_s=2 * event.assumed.own_median_s)),
        ("everybody records", setup, mix(speak=1.0)),
        ("all questions in own words", setup, mix(own_words=1.0)),
        ("half the patience", setup, mix(patience_s=event.assumed.patience_s / 2)),
    ]


def _slower(setup: Setup, profile: Profile) -> Setup:
    return changed(
        setup, step_ms=1.25 * profile.step_ms, step_ms_per_answer=1.25 * profile.step_ms_per_answer
    )


def over_seeds(values: Sequence[float], form: str = ".2f") -> str:
    """Return a mean and the half-width of its 95 % interval over seeds."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:{form}}"
    half = _T95.get(len(values), 2.0) * statistics.stdev(values) / sqrt(len(values))
    return f"{mean:{form}} ± {half:{form}}"


def outcome_of(event: Event, setup: Setup, seed: int = 1) -> Outcome:
    """Run an event once."""
    return simulate(drawn(event, seed, setup.profile.spread), setup, seed)
