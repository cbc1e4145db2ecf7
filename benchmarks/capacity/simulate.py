"""Visits through a controller to engines, and what came of them."""

from __future__ import annotations

import gc
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.settings import Settings
from benchmarks.capacity.agenda import Agenda
from benchmarks.capacity.controller import ANSWERED, Call, Controller
from benchmarks.capacity.profile import Profile
from benchmarks.capacity.questions import Visit

Times = NDArray[np.float64]


@dataclass(frozen=True)
class Setup:
    """What serves: the engines and the controller's choices, which are its defaults."""

    profile: Profile
    instances: int = 1
    policy: str = "affinity"
    keeps: bool = True
    joins: bool = True
    encoder_cache: bool = True
    settings: tuple[tuple[str, Any], ...] = ()  # other settings of the controller
    names: tuple[str, ...] = ()  # of the instances; rendezvous hashing goes by them

    def controller(self, agenda: Agenda) -> Controller:
        """Build it."""
        asked = {"balance": self.policy, **dict(self.settings)}
        settings = Settings.model_validate(asked)  # and nothing from the environment
        profile = self.profile
        if not self.encoder_cache:
            profile = profile.model_copy(update={"encoder_cache_chunks": 0})
        names = self.names or tuple(f"10.0.0.{number}:8000" for number in range(self.instances))
        return Controller(agenda, profile, names, settings, keeps=self.keeps, joins=self.joins)


@dataclass
class Outcome:
    """Every question's call, and what the engines did."""

    setup: Setup
    visits: int
    calls: list[Call]
    ends: Counter[str]  # visits by how they ended: to the end, turned away, left
    read_s: float
    tokens: float
    met: int
    warm: int

    @property
    def fates(self) -> Counter[str]:
        """Questions by what became of them."""
        return Counter(call.fate for call in self.calls)

    @property
    def work_s(self) -> float:
        """The engines' time for all that they did, in s with all places taken."""
        return self.setup.profile.work_s(self.read_s, self.tokens)

    @property
    def failed(self) -> float:
        """The share of questions that were turned away, waited in vain, or whose asker left before a word."""
        wrong = sum(count for fate, count in self.fates.items() if fate not in ANSWERED)
        return wrong / max(len(self.calls), 1)

    def ttft(self, *fates: str) -> Times:
        """Times to the first token in s, of calls with these fates; without any, of what engines answered."""
        wanted = fates or ("engine", "joined")
        return np.array([call.first - call.asked for call in self.calls if call.fate in wanted])

    def whole(self, *fates: str) -> Times:
        """Times to the answer's end in s, likewise."""
        wanted = fates or ("engine", "joined")
        return np.array([call.ended - call.asked for call in self.calls if call.fate in wanted])

    def busiest(self, share: float, window_s: float) -> float:
        """Return the worst quantile of times to the first token in any window of 100 answers at least."""
        calls = [call for call in self.calls if call.fate in ("engine", "joined")]
        asked = np.array([call.asked for call in calls])
        first = self.ttft()
        worst = 0.0
        for window in np.unique(asked // window_s) if len(calls) else ():
            there = first[asked // window_s == window]
            if len(there) >= 100:
                worst = max(worst, quantile(there, share))
        return worst


def quantile(times: Times, share: float) -> float:
    """Return a quantile, between neighbours by straight line; NaN of nothing."""
    return float(np.quantile(times, share)) if len(times) else float("nan")


def simulate(visits: Sequence[Visit], setup: Setup, seed: int = 0) -> Outcome:
    """Let visitors come. The same visits, setup and seed give the same outcome.

    A visitor who is turned away or leaves asks nothing more; the others ask their next question a pause after
    the last answer's end.
    """
    random.seed(seed)  # the policy power_of_two draws its lots from there
    agenda = Agenda()
    controller = setup.controller(agenda)
    calls: list[Call] = []
    ends: Counter[str] = Counter()

    def ask(visit: Visit, number: int) -> None:
        def over(call: Call) -> None:
            if call.fate not in ANSWERED:
                ends["left" if call.fate == "left" else "turned away"] += 1
            elif number + 1 == len(visit.questions):
                ends["to the end"] += 1
            else:
                agenda.at(agenda.now + visit.questions[number + 1].pause_s, ask, visit, number + 1)

        call = Call(visit.questions[number], visit.owner, agenda.now, over)
        calls.append(call)
        controller.ask(call)

    for visit in visits:
        if visit.questions:
            agenda.at(visit.at + visit.questions[0].pause_s, ask, visit, 0)
        else:
            ends["to the end"] += 1
    gc.disable()  # nothing here is a ring that must be found, and looking for them takes a third of the time
    try:
        agenda.run()
    finally:
        gc.enable()
    return Outcome(
        setup,
        len(visits),
        calls,
        ends,
        sum(engine.read_s for engine in controller.engines),
        sum(engine.written for engine in controller.engines),
        sum(engine.met for engine in controller.engines),
        sum(engine.warm for engine in controller.engines),
    )


def changed(setup: Setup, **figures: Any) -> Setup:
    """Return a setup whose profile has other figures."""
    return replace(setup, profile=setup.profile.model_copy(update=figures))
