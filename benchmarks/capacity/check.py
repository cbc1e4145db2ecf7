"""The simulator against reality: two embedded engines, the controller and open arrivals on this machine.

What is compared was fixed before the first run: the median and the 95th percentile of the time to the first
token and of the whole time, over the answers that engines gave, and the throughput. Each should be predicted
to within 15 %.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log, sqrt
from pathlib import Path

import numpy as np

from benchmarks import report
from benchmarks.capacity import asking, engines, pictures, workload
from benchmarks.capacity.asking import Answer, Failed, Measured
from benchmarks.capacity.engines import PLACES, UPSTREAM, House
from benchmarks.capacity.fit import Bound, bench, error, fit
from benchmarks.capacity.profile import Profile
from benchmarks.capacity.questions import Visit
from benchmarks.capacity.simulate import Outcome, Setup, Times, quantile, simulate
from benchmarks.load.questions import MODEL

NAME = "capacity_check"
BAR = 0.15
LENGTHS, AT_ONCE, TRIALS, TOKENS = (6.0, 11.0, 18.0), (1, 2), 4, 24  # half before the run, half after
BUSY = 0.5  # of the engines' time
SIMULATIONS = 20
_CLIPS_KEPT = 128 * 2  # `model.embedded.listener` keeps so many transcripts, none here over two chunks


@dataclass(frozen=True)
class Real:
    """What the controller did."""

    answers: tuple[Answer, ...]
    failures: Counter[str]
    began: float
    others: float  # cores that other programs used meanwhile


@dataclass(frozen=True)
class Figure:
    """One quantity, measured and predicted."""

    name: str
    measured: float
    predicted: float

    @property
    def off(self) -> float:
        """The prediction's error as a share of what was measured."""
        return self.predicted / self.measured - 1 if self.measured else float("nan")


def calibrated(measured: Measured) -> Profile:
    """Return the profile that these engines have. Raises ProfileError."""
    alone = [cell for cell in measured.cells if cell.at_once == 1 and not cell.warm]
    warm = [cell for cell in measured.cells if cell.warm]
    slope, start = _line([(cell.audio_s, cell.ttft_ms) for cell in alone])
    warm_slope, warm_start = _line([(cell.audio_s, cell.ttft_ms) for cell in warm])
    warm_start, warm_slope = min(warm_start, start), min(warm_slope, slope)
    step = float(np.mean([cell.itl_ms for cell in alone]))
    found = []
    for reads in (1, PLACES):
        base = Profile(
            places=PLACES,
            apart_ms=0.0,
            apart_ms_per_s=0.0,
            read_ms=start,
            read_ms_per_s=slope,
            warm_ms=warm_start,
            warm_ms_per_s=warm_slope,
            reads_at_once=reads,
            step_ms=step,
            step_ms_per_answer=0.0,
            stall=0.0,
            drag=0.0,
            encoder_cache_chunks=_CLIPS_KEPT,
            spread=_spread(measured, start, slope),
        )
        bounds = {
            "step_ms_per_answer": Bound(0.2 * step, 0.0, 2 * step),
            "stall": Bound(0.5, 0.0, 0.9),
            "drag": Bound(0.3, 0.0, 0.9),
        }
        found.append(fit(base, bounds, [cell for cell in measured.cells if not cell.warm]))
    crowded = [cell for cell in measured.cells if not cell.warm]
    return min(found, key=lambda profile: error(profile, crowded))


def _line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return slope and start of a straight line through points, neither below 0."""
    x, y = np.array(points).T
    slope = max(float(np.polyfit(x, y, 1)[0]), 0.0) if len(set(x)) > 1 else 0.0
    return slope, max(float(np.mean(y - slope * x)), 0.0)


def _spread(measured: Measured, start_ms: float, slope_ms: float) -> float:
    ratios = [log(1_000 * seconds / (start_ms + slope_ms * length)) for length, seconds in measured.alone]
    return min(float(np.std(ratios, ddof=1)), 1.0) if len(ratios) > 1 else 0.0


def rate_for(profile: Profile, instances: int) -> float:
    """Return how many questions a second keep engines `BUSY`, hits and follow-ups counted as new ones are."""
    new_s = profile.reading_s(sum(workload.OWN_S) / 2, False)
    warm_s = profile.reading_s(sum(workload.OWN_S) / 2, True)
    writing_s = sum(workload.TOKENS) / 2 * profile.step_s(1)
    mean = workload.NEW * new_s + workload.FOLLOWS * (new_s + warm_s) / 2 + (1 - 0.25) * writing_s
    return BUSY * instances / mean


async def play(house: House, load: workload.Load) -> Real:
    """Ask the controller all of it, each at its moment. Bounded by the trace and a time-out for each."""
    answers: list[Answer] = []
    failures: Counter[str] = Counter()
    busy, ours, began = _machine_s(), house.cpu_s() + _own_s(), time.perf_counter()

    async def one(visit: Visit) -> None:
        (question,) = visit.questions
        await asyncio.sleep(began + visit.at - time.perf_counter())
        sound = load.sounds[question.clip]
        try:
            answers.append(
                await asking.ask(house.controller, MODEL, sound, question.words, question.tokens, visit.owner)
            )
        except Failed as failure:
            failures[str(failure)] += 1

    async with asyncio.TaskGroup() as group:
        for visit in load.visits:
            group.create_task(one(visit))
    took = time.perf_counter() - began
    others = (_machine_s() - busy - (house.cpu_s() + _own_s() - ours)) / took
    return Real(tuple(answers), failures, began, max(others, 0.0))


def predict(profile: Profile, house: House, load: workload.Load) -> list[Outcome]:
    """Simulate the same questions, with other lots of what is not known of them."""
    setup = Setup(profile, len(house.engines), names=house.names)
    return [
        simulate(workload.varied(load, profile.spread, number), setup, number)
        for number in range(SIMULATIONS)
    ]


def compare(real: Real, predicted: Sequence[Outcome]) -> list[Figure]:
    """Put side by side what was promised to be compared."""
    ttft, whole = _real_times(real)
    simulated_ttft = np.concatenate([one.ttft() for one in predicted])
    simulated_whole = np.concatenate([one.whole() for one in predicted])
    figures = []
    for name, seen, guessed in (
        ("first token, s", ttft, simulated_ttft),
        ("whole answer, s", whole, simulated_whole),
    ):
        figures += [
            Figure(f"{name}: p50", quantile(seen, 0.5), quantile(guessed, 0.5)),
            Figure(f"{name}: p95", quantile(seen, 0.95), quantile(guessed, 0.95)),
        ]
    took = max(one.ended for one in real.answers) - real.began
    throughput = [len(one.calls) / max(call.ended for call in one.calls) for one in predicted]
    figures.append(Figure("answers a second", len(real.answers) / took, float(np.mean(throughput))))
    return figures


def _real_times(real: Real) -> tuple[Times, Times]:
    asked = [one for one in real.answers if one.fate in ("miss", "shared", "bypass")]
    return np.array([one.ttft_s for one in asked]), np.array([one.whole_s for one in asked])


def _measure(house: House, seed: int) -> Measured:
    return asyncio.run(asking.measure(house.engines, UPSTREAM, LENGTHS, AT_ONCE, TRIALS, TOKENS, seed))


def main(seconds: float, seed: int, *, write: bool) -> int:
    """Calibrate, run, predict, compare, draw and write; 1 where a figure is missed by more than the bar."""
    random.seed(seed)
    load_before = os.getloadavg()[0]
    with engines.running() as house:
        print(f"Calibrating {len(house.engines)} engines.", flush=True)
        before = _measure(house, seed + 1)
        rate = rate_for(calibrated(before), len(house.engines))
        load = workload.draw(rate, seconds, seed)
        print(f"Asking {len(load.visits)} questions in {seconds:.0f} s.", flush=True)
        real = asyncio.run(play(house, load))
        print("Calibrating again.", flush=True)
        measured = before.and_also(_measure(house, seed + 2))
        profile = calibrated(measured)
        predicted = predict(profile, house, load)
    figures = compare(real, predicted)
    text = _document(measured, profile, load, real, predicted, figures, seconds, seed, rate, load_before)
    print(text)
    if write:
        report.publish(NAME, text)
        ttft, whole = _real_times(real)
        pictures.curves(
            report.RESULTS / f"{NAME}.png",
            (
                ("to the first token", ttft, [one.ttft() for one in predicted]),
                ("whole answer", whole, [one.whole() for one in predicted]),
            ),
        )
    return int(any(not abs(figure.off) <= BAR for figure in figures) or bool(real.failures))


def _document(
    measured: Measured,
    profile: Profile,
    load: workload.Load,
    real: Real,
    predicted: Sequence[Outcome],
    figures: Sequence[Figure],
    seconds: float,
    seed: int,
    rate: float,
    load_before: float,
) -> str:
    rows = [
        [
            one.name,
            f"{one.measured:.2f}",
            f"{one.predicted:.2f}",
            f"{one.off:+.0%}",
            report.met(abs(one.off) <= BAR),
        ]
        for one in figures
    ]
    fates = Counter(one.fate for one in real.answers)
    guessed = {fate: np.mean([one.fates[fate] for one in predicted]) for fate in ("kept", "joined", "engine")}
    rows += [
        ["answers from the cache", str(fates["hit"]), f"{guessed['kept']:.1f}", "", ""],
        ["answers that joined another's", str(fates["shared"]), f"{guessed['joined']:.1f}", "", ""],
        ["answers of an engine", str(fates["miss"]), f"{guessed['engine']:.1f}", "", ""],
        ["failures", ", ".join(f"{why}: {n}" for why, n in real.failures.items()) or "0", "0", "", ""],
    ]
    gap, count = _distance(real, predicted), len(_real_times(real)[0])
    calm = (
        "Nothing else of weight ran"
        if real.others < 0.15
        else "The machine was not idle, which stretches some times and not others: "
        "run it again on an idle one"
    )
    cells = [
        [
            f"{cell.audio_s:g}",
            str(cell.at_once) + (", met before" if cell.warm else ""),
            f"{cell.ttft_ms:.0f}",
            f"{ttft:.0f}",
            f"{cell.itl_ms:.1f}",
            f"{itl:.1f}",
        ]
        for cell in measured.cells
        for ttft, itl in [bench(profile, replace(cell, trials=200))]
    ]
    known = {key: value for key, value in profile.model_dump().items() if key not in ("places",)}
    return "\n".join(
        [
            "# The capacity simulator against a real run",
            "",
            f"    python -m benchmarks.capacity check --seconds {seconds:g} --seed {seed} --write",
            "",
            f"{len(load.visits)} questions in {seconds:.0f} s ({rate:.2f} a second, so that engines are "
            "about half busy), each at its moment whatever became of the others, to a real controller "
            f"(`python -m backend`) before two embedded engines of one thread, one core and {PLACES} places "
            f"each. The same trace goes through the simulator {SIMULATIONS} times, with the figures of a "
            "calibration, half of it just before and half just after; what it is not told is how long each "
            "sound takes to read and whether an answer ends early. Bar, fixed before: "
            f"{BAR:.0%}. Times over the answers that engines gave.",
            "",
            *report.table(["what", "measured", "predicted", "off", ""], rows),
            "",
            f"The two curves of the time to the first token are {gap:.2f} apart at most (Kolmogorov-Smirnov; "
            f"of {count} answers chance alone makes {1.36 / sqrt(max(count, 1)):.2f} one time in twenty). "
            f"Other programs used {real.others:.2f} cores meanwhile, and the load was {load_before:.1f} "
            f"before. {calm}.",
            "",
            f"![Measured and predicted times]({NAME}.png)",
            "",
            "The calibration: both engines at once, mean times in ms, and what the fitted profile gives.",
            "",
            *report.table(
                ["s of sound", "at once", "first token", "fitted", "between tokens", "fitted"], cells
            ),
            "",
            "Fitted: " + ", ".join(f"`{key}` {value:.4g}" for key, value in known.items()) + ".",
            "",
            report.machine(),
            "",
        ]
    )


def _distance(real: Real, predicted: Sequence[Outcome]) -> float:
    """Return the greatest distance between the two distribution functions of the time to the first token."""
    seen, guessed = np.sort(_real_times(real)[0]), np.sort(np.concatenate([one.ttft() for one in predicted]))
    if not len(seen):
        return float("nan")
    at = np.concatenate([seen, guessed])
    below = [np.searchsorted(some, at, "right") / len(some) for some in (seen, guessed)]
    return float(np.max(np.abs(below[0] - below[1])))


def _machine_s() -> float:
    """CPU seconds that all programs of this machine have used; 0 where it does not tell."""
    file = Path("/proc/stat")
    if not file.exists():
        return 0.0
    fields = [int(field) for field in file.read_text().splitlines()[0].split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    times = os.times()
    return times.user + times.system
