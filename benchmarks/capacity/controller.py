"""The controller in simulated time: kept answers, single flight, the fair queue, places and policies.

The queue (`backend.admission.FairQueue`), instances and their places (`backend.instance`), the policies
(`backend.policies`), the weights (`backend.work`) and the settings with their defaults are the controller's
own code. What is written again is what awaits there: the way through `backend.balancer.Pool.enter`, and the
tables of answers kept and on their way. Failures, hedges and the slow start after one do not happen here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from backend.admission import FairQueue
from backend.breaker import Breaker
from backend.instance import Instance, Place
from backend.policies import POLICIES
from backend.settings import Settings
from backend.work import Ask, Work
from benchmarks.balance import MAX_TOKENS
from benchmarks.capacity.agenda import Agenda
from benchmarks.capacity.engine import Engine, Job
from benchmarks.capacity.profile import Profile
from benchmarks.capacity.questions import Question

Fate = Literal["", "kept", "joined", "engine", "refused", "timed out", "left"]
"""Answered from the cache, by another's answer, by an engine; turned away, waited in vain, left before."""
ANSWERED = ("kept", "joined", "engine")
Key = tuple[str, str, str]


@dataclass(slots=True, eq=False)
class Call:
    """One question and what became of it. Times are simulated s, -1 where it did not come to that."""

    question: Question
    owner: str
    asked: float
    over: Callable[[Call], None]
    first: float = -1.0
    ended: float = -1.0
    placed: float = -1.0
    fate: Fate = ""
    instance: int = -1
    warm: bool = False


@dataclass(slots=True, eq=False)
class Flight:
    """An answer on its way, and who follows it."""

    key: Key | None
    ask: Ask
    leader: Call
    followers: list[Call]
    place: Place | None = None
    job: Job | None = None
    has_begun: bool = False
    is_over: bool = False


class Controller:
    """One controller in front of instances of one profile."""

    def __init__(
        self,
        agenda: Agenda,
        profile: Profile,
        names: Sequence[str],
        settings: Settings,
        *,
        keeps: bool = True,
        joins: bool = True,
    ) -> None:
        """Name the instances; it `keeps` answers, and `joins` who asks the same at the same time."""
        self.engines = [Engine(profile, agenda) for _ in names]
        self._agenda = agenda
        self._timeout_s = settings.queue_timeout_s
        self._keeps, self._joins = keeps, joins
        self._kept: set[Key] = set()
        self._flights: dict[Key, Flight] = {}
        self._queue: FairQueue[Flight] = FairQueue(settings.queue_max, settings.queue_per_visitor)
        self._policy = POLICIES[settings.balance](settings.affinity_bound)
        self._instances = [
            Instance(
                name,
                places=profile.places,
                breaker=Breaker(clock=agenda.clock),
                clock=agenda.clock,
            )
            for name in names
        ]
        self._number = {instance: number for number, instance in enumerate(self._instances)}
        for instance in self._instances:
            instance.set("up")
            instance.listeners.append(self._hand_out)

    def ask(self, call: Call) -> None:
        """Take a question; its `over` is called once, whatever becomes of it."""
        question = call.question
        scope = "" if question.public else call.owner
        key = (scope, question.clip, question.words)
        if self._keeps and key in self._kept:
            call.first = self._agenda.now
            self._end(call, "kept")
            return
        if self._joins and (flight := self._flights.get(key)):
            flight.followers.append(call)
            if flight.has_begun:
                call.first = self._agenda.now
            else:
                self._agenda.at(call.asked + question.patience_s, self._leave, call, flight)
            return
        # The controller knows what an answer may be at most, not what it will be.
        ask = Ask(call.owner, Work(question.audio_s, MAX_TOKENS), question.clip)
        flight = Flight(key, ask, call, [call])
        if self._joins:
            self._flights[key] = flight
        self._enter(flight)

    def _enter(self, flight: Flight) -> None:
        call = flight.leader
        if not self._queue and (candidates := self._candidates(flight.ask)):
            self._take(flight, candidates)
        elif self._queue.full(flight.ask.owner):
            self._finish(flight, "refused")
            return
        else:
            self._queue.push(flight, flight.ask.owner)
            self._agenda.at(self._agenda.now + self._timeout_s, self._give_up, flight)
            self._hand_out()  # others may wait for what this one does not need
        self._agenda.at(call.asked + call.question.patience_s, self._leave, call, flight)

    def _candidates(self, ask: Ask) -> list[Instance]:
        return [one for one in self._instances if one.has_place(ask)]

    def _take(self, flight: Flight, candidates: Sequence[Instance]) -> None:
        if len(candidates) > 1:
            for instance in candidates:
                self.engines[self._number[instance]].sync()
            chosen = self._policy.choose(candidates, flight.ask)
        else:
            chosen = candidates[0]
        place = flight.place = chosen.take(flight.ask)
        call, question = flight.leader, flight.leader.question
        call.placed, call.instance = self._agenda.now, self._number[chosen]

        def first() -> None:
            place.produced(0)
            flight.has_begun = True
            for one in flight.followers:
                one.first = self._agenda.now

        flight.job = Job(
            question.clip,
            question.audio_s,
            question.tokens,
            first,
            lambda: self._finish(flight, "engine"),
            place.produced,
            question.factor,
        )
        self.engines[call.instance].begin(flight.job)
        call.warm = flight.job.warm

    def _hand_out(self) -> None:
        while self._queue and any(one.usable and one.busy < one.limit for one in self._instances):
            flight = self._queue.pop(lambda one: bool(self._candidates(one.ask)))
            if flight is None:
                return
            self._take(flight, self._candidates(flight.ask))

    def _give_up(self, flight: Flight) -> None:
        if flight.place is None and not flight.is_over:
            self._finish(flight, "timed out")

    def _leave(self, call: Call, flight: Flight) -> None:
        """Let an asker go who has been patient enough; the last one ends the answer."""
        if call.fate or call.first >= 0:
            return
        flight.followers.remove(call)
        if not flight.followers:
            self._finish(flight, "left")
        self._end(call, "left")

    def _finish(self, flight: Flight, fate: Fate) -> None:
        flight.is_over = True
        if flight.key and self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
        if fate == "engine" and flight.key and self._keeps:
            self._kept.add(flight.key)
        if fate == "left" and flight.job and flight.leader.instance >= 0:
            self.engines[flight.leader.instance].cancel(flight.job)
        self._queue.discard(flight, flight.ask.owner)
        if flight.place:
            flight.place.release()
        for call in flight.followers:
            joined = call is not flight.leader and fate == "engine"
            self._end(call, "joined" if joined else fate)

    def _end(self, call: Call, fate: Fate) -> None:
        call.fate = fate
        call.ended = self._agenda.now
        call.over(call)
