"""The instances of one model, and the way into them: a place at once, or a fair queue with an end."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from backend.admission import FairQueue, Pace
from backend.announcer import Announcer, Waiting
from backend.answer import Queued
from backend.errors import Busy, Unavailable
from backend.instance import Instance, Place, State
from backend.policies import POLICIES
from backend.settings import Settings
from backend.work import Ask

__all__ = ["Instance", "Place", "Pool", "State"]

_HOPES_S = 8.0  # longer than a breaker is open at first
_AGAIN = {"Retry-After": "5"}  # while nobody can say when an engine will be there


@dataclass
class PoolStats:
    """What happened before the instances since the start, counted."""

    waited: int = 0
    refused: int = 0
    timed_out: int = 0


class Pool:
    """The instances that serve one model."""

    def __init__(
        self,
        title: str,
        instances: Sequence[Instance],
        settings: Settings,
        *,
        model: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the policy, the bounds of the queue and its deadline from `settings`.

        An instance that lists its models and does not list `model` serves others; empty is not looked for.
        """
        self.title = title
        self.model = model
        self.instances: tuple[Instance, ...] = ()
        self.stats = PoolStats()
        self._policy = POLICIES[settings.balance](settings.affinity_bound)
        self._queue: FairQueue[Waiting] = FairQueue(settings.queue_max, settings.queue_per_visitor)
        self._timeout_s = settings.queue_timeout_s
        self._clock = clock
        self._pace = Pace(clock)
        self._announcer = Announcer(self._queue, self._hand_out, self._wait_s, clock)
        for instance in instances:
            self._join(instance)

    @property
    def state(self) -> State:
        """The best state of any instance."""
        states = {"down" if self._lacks_model(one) else one.state for one in self.instances}
        return "up" if "up" in states else "starting" if "starting" in states else "down"

    @property
    def detail(self) -> str:
        """Why the model is not up, empty when it is."""
        if self.state == "up":
            return ""
        lacking = (
            f"The server at {one.name} does not know {self.model}."
            for one in self.instances
            if self._lacks_model(one)
        )
        return next((one.detail for one in self.instances if one.detail), "") or next(lacking, "")

    @property
    def waiting(self) -> int:
        """How many requests wait for a place."""
        return len(self._queue)

    def queue(self) -> list[tuple[int, float]]:
        """Return the place, from 1, of each who waits, and for how many seconds."""
        now = self._clock()
        return [(place, now - waiting.since) for place, waiting in enumerate(self._queue, 1)]

    def add(self, instance: Instance) -> None:
        """Take an instance in; beside others that are up it starts slowly."""
        if self.state == "up":
            instance.begin_slowly()
        self._join(instance)
        self._hand_out()

    def remove(self, instance: Instance) -> None:
        """Give an instance nothing more; the answers it is giving end by themselves."""
        self.instances = tuple(one for one in self.instances if one is not instance)
        instance.listeners.remove(self._hand_out)
        self._hand_out()

    async def enter(
        self,
        ask: Ask,
        *,
        avoid: Collection[Instance] = (),
        wait: bool = True,
        queued: Callable[[Queued], None] = lambda _: None,
    ) -> Place:
        """Return a place in the instance that suits best, waiting for one in a fair queue.

        `queued` is told the place in the queue at once and on change, every half second at most. An instance
        in `avoid` is taken only when no other is up or was so just before, or those that are rest for long.
        Without `wait`, it is a place now, outside `avoid`, or Busy.

        Raises:
            Busy: nothing is free (without `wait`), too many wait, or it took too long. It says when to try
                again.
            Unavailable: no instance can come up, or none was up for too long.
        """
        may_hope = bool(avoid) and any(one not in avoid and self._is_back_soon(one) for one in self.instances)
        if not self._queue or ask.urgent:
            candidates = self._candidates(ask, avoid, strictly=not wait or may_hope)
            if candidates:
                return self._take(candidates, ask)
        if not wait:
            raise Busy("no_place", "No other engine has a place free now.")
        self._admit(ask)
        loop = asyncio.get_running_loop()
        hopes_until = self._clock() + _HOPES_S if may_hope else 0.0
        waiting = Waiting(ask, avoid, queued, loop.create_future(), Queued(0, 0), hopes_until, self._clock())
        position = self._queue.push(waiting, ask.owner, urgent=ask.urgent)
        self.stats.waited += 1
        deadline = loop.call_later(self._timeout_s, self._give_up, waiting)
        self._hand_out()  # others may wait for what this one does not need
        self._announcer.look_again()
        self._announcer.say(waiting, position)
        try:
            return await waiting.place
        except asyncio.CancelledError:
            came = not waiting.place.cancelled()  # in the moment that the asker left
            if came and not waiting.place.exception():
                waiting.place.result().release()
            raise
        finally:
            deadline.cancel()
            self._queue.discard(waiting, ask.owner)

    def _join(self, instance: Instance) -> None:
        self.instances = (*self.instances, instance)
        instance.listeners.append(self._hand_out)

    def _usable(self, instance: Instance) -> bool:
        return instance.usable and not self._lacks_model(instance)

    def _lacks_model(self, instance: Instance) -> bool:
        return bool(self.model and instance.cards) and self.model not in instance.cards

    def _is_back_soon(self, instance: Instance) -> bool:
        if instance.state != "up":  # most are away for a moment only
            return self._clock() - instance.went_at <= _HOPES_S
        return instance.breaker.wait_s() <= _HOPES_S

    def _wait_s(self) -> float:
        return min((one.wait_s() for one in self.instances), default=math.inf)

    def _is_hopeless(self) -> bool:
        """Whether no instance can come up: ours could not be started, and others there are none."""
        return all(one.supervised and one.state == "down" for one in self.instances)

    def _candidates(self, ask: Ask, avoid: Collection[Instance], *, strictly: bool = False) -> list[Instance]:
        usable = [one for one in self.instances if self._usable(one)]
        if avoid:
            others = [one for one in usable if one not in avoid]
            usable = others if others or strictly else usable
        return [one for one in usable if one.has_place(ask)]

    def _take(self, candidates: Sequence[Instance], ask: Ask) -> Place:
        instance = self._policy.choose(candidates, ask) if len(candidates) > 1 else candidates[0]
        return instance.take(ask, self._pace.answered)

    def _admit(self, ask: Ask) -> None:
        """Raise what keeps a request from the queue, if anything does."""
        if self._is_hopeless():
            raise self._unavailable()
        why = "" if ask.urgent else self._queue.full(ask.owner)
        if not why:
            return
        self.stats.refused += 1
        if why == "all":
            what = "Too many people are waiting for this model."
            raise self._missing() or self._busy("queue_full", what, len(self._queue))
        busy = self._busy(
            "queue_yours_full", "Several of your questions are waiting already.", self._queue.owners
        )
        busy.mine = True
        raise busy

    def _hand_out(self) -> None:
        """Give every free place to the next whom it suits; tell all when there is nothing to wait for."""
        while self._queue and any(self._usable(one) and self._gives(one) for one in self.instances):
            waiting = self._queue.pop(self._fits)
            if waiting is None:
                return
            waiting.place.set_result(self._take(self._candidates_for(waiting), waiting.ask))
        if self._queue and self._is_hopeless():
            for waiting in self._queue:
                if not waiting.place.done():
                    waiting.place.set_exception(self._unavailable())

    def _gives(self, instance: Instance) -> bool:
        """Whether it has a place for anybody, which spares most looks through the queue."""
        return instance.busy < (instance.places if self._queue.urgent else instance.limit)

    def _fits(self, waiting: Waiting) -> bool:
        return not waiting.place.done() and bool(self._candidates_for(waiting))

    def _candidates_for(self, waiting: Waiting) -> list[Instance]:
        still_hopes = self._clock() < waiting.hopes_until
        return self._candidates(waiting.ask, waiting.avoid, strictly=still_hopes)

    def _give_up(self, waiting: Waiting) -> None:
        if waiting.place.done():
            return
        self.stats.timed_out += 1
        busy = self._busy("queue_timeout", "No place came free in time.", len(self._queue))
        waiting.place.set_exception(self._missing() or busy)

    def _missing(self) -> Unavailable | None:
        """Return what to say where no instance can answer now; None where one can and has no place."""
        if self.state == "up" and any(one.breaker.state == "closed" for one in self.instances):
            return None
        if self.state == "starting":
            sentence = f"{self.title} is still starting. Try again in a few seconds."
            return Unavailable("model_starting", sentence, headers=_AGAIN)
        return self._unavailable()

    def _busy(self, code: str, what: str, ahead: int) -> Busy:
        seconds = self._pace.wait_s(ahead)
        return Busy(code, f"{what} Try again in about {seconds} s.", headers={"Retry-After": str(seconds)})

    def _unavailable(self) -> Unavailable:
        detail = f" {self.detail}" if self.detail else ""
        return Unavailable(
            "model_unavailable",
            f"{self.title} cannot answer now.{detail} Try again in a few seconds, or choose another model.",
            headers=_AGAIN,
        )
