"""One running engine, and the places in it that answers hold.

starting   not found yet, loading, or in doubt: nothing is sent there
up         it answers; after it was away, its places grow from one to all over `slow_start_s`
down       it does not respond, or cannot start
draining   taken out of the registry: its answers end by themselves
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from backend.breaker import BROKE, Breaker
from backend.slow_start import SlowStart
from backend.work import TOKEN_MS, Ask

LONG_S = (
    300.0  # of sound; what is longer takes minutes and may hold half of the places, so that questions go on
)
State = Literal["up", "starting", "down"]
_turns = itertools.count(1)


@dataclass
class Stats:
    """What happened at an instance since the start, counted."""

    asked: int = 0
    succeeded: int = 0
    failed: int = 0
    slow: int = 0
    opened: int = 0
    retried: int = 0
    resumed: int = 0
    hedged: int = 0
    tokens: int = 0


class Instance:
    """An engine's address, whether it is up, and what it is doing."""

    def __init__(
        self,
        name: str,
        url: str | None = None,
        key: str | None = None,
        *,
        supervised: bool = False,
        weight: float = 1.0,
        places: int = 16,
        slow_start_s: float = 0.0,
        breaker: Breaker | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`weight` is how much work it takes beside others, `places` how many requests at once."""
        self.name = name
        self.url = url
        self.supervised = supervised  # started again when it dies, so worth waiting for
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.weight = weight
        self.places = places
        self.breaker = breaker or Breaker(clock=clock)
        self.state: State = "starting"
        self.detail = ""
        self.cards: Mapping[str, Mapping[str, Any]] = {}  # what its own /v1/models says, by model
        self.busy = 0
        self.long = 0  # of these, recordings of more than LONG_S
        self.outstanding = 0.0  # work not yet done, as Work.cost
        self.turn = 0  # when it last got a request, counted, so that idle instances take turns
        self.answered_at = -math.inf  # when one of its streams last brought something
        self.went_at = -math.inf  # when it was last up and then was not
        self.unanswered = 0  # looks in a row, while no stream brought anything either
        self.stats = Stats()
        self.listeners: deque[Callable[[], None]] = deque()  # the pools it is in; told when a place is free
        self._clock = clock
        self._start = SlowStart(slow_start_s, clock)
        self._has_been_up = False
        self._slowly = False  # whether its places grow when it next comes up
        self._changed = asyncio.Event()

    @property
    def draining(self) -> bool:
        """Whether no pool holds it any more, though some of its answers may go on."""
        return not self.listeners

    @property
    def usable(self) -> bool:
        """Whether it may be sent anything now, were a place free."""
        return self.state == "up" and self.breaker.lets_through

    def has_place(self, ask: Ask) -> bool:
        """Whether it may be sent this request now. For an urgent one it need not start slowly."""
        if ask.work.audio_s > LONG_S and self.long >= max(1, self.places // 2):
            return False
        return self.usable and self.busy < (self.places if ask.urgent else self.limit)

    @property
    def limit(self) -> int:
        """How many places it gives now: all, or fewer while it starts slowly."""
        return self._start.limit(self.places)

    def wait_s(self) -> float:
        """How long until time alone may give a place; infinite when only an event can."""
        if self.state != "up":
            return math.inf
        return self.breaker.wait_s() or self._start.wait_s(self.places)

    def set(self, state: State, detail: str = "") -> None:
        """Note a change and wake whoever waits for one."""
        if state != "up":
            self._slowly |= self._has_been_up
        elif self.state != "up":
            self._has_been_up = True
            if self._slowly:
                self._start.begin()
            self._slowly = False
        self._set(state, detail)

    def begin_slowly(self) -> None:
        """Let its places grow when it comes up: others are up already."""
        self._slowly = True

    def changed(self) -> Coroutine[Any, Any, bool]:
        """Wait for the next change from this call on, however late the wait itself begins."""
        return self._changed.wait()

    def suspect(self) -> None:
        """Send nothing more here until the instance has shown that it is up."""
        if self.state == "up":
            self._set("starting", "It broke off an answer and is being checked.")

    def failed(self, kind: str, owner: str = "", *, again: bool = False) -> None:
        """Note a failed attempt: BROKE (refused, cut) puts it in doubt at once, "slow" and others count.

        `again` is one more attempt of a request that has failed here already: the breaker does not count it.
        """
        self.stats.failed += 1
        self.stats.slow += kind == "slow"
        if not again:
            self.stats.opened += self.breaker.failed(kind, owner)
        if kind == BROKE:
            self.suspect()

    def succeeded(self) -> None:
        """Note a whole answer."""
        self.stats.succeeded += 1
        self.breaker.succeeded()
        self.tell()

    def rest(self, seconds: float) -> None:
        """Send nothing for so long, 30 s at most: it said that it is busy."""
        self.breaker.rest(seconds)

    def take(self, ask: Ask, released: Callable[[], None] = lambda: None) -> Place:
        """Hold a place; `released` is called when it is free again."""
        self.turn = next(_turns)
        self.stats.asked += 1
        return Place(self, ask, released)

    def tell(self) -> None:
        """Let the pools hand out free places, each in its turn the first to."""
        for listener in list(self.listeners):
            listener()
        self.listeners.rotate(-1)

    def note_life(self) -> None:
        """Note that one of its streams brought something."""
        self.answered_at = self._clock()
        self.unanswered = 0

    def answering(self) -> None:
        """Note that the breaker's try answers: others may follow."""
        if self.breaker.answering():
            self._start.begin()
        self.tell()

    def _set(self, state: State, detail: str) -> None:
        if self.state == "up" != state:
            self.went_at = self._clock()
        self.state, self.detail = state, detail
        self._changed.set()
        self._changed = asyncio.Event()
        self.tell()


class Place:
    """One of an instance's places, held for as long as an answer takes; a context manager."""

    def __init__(self, instance: Instance, ask: Ask, released: Callable[[], None]) -> None:
        self.instance = instance
        self._released = released
        self._is_try = instance.breaker.begin()
        self._is_long = ask.work.audio_s > LONG_S
        self._held = ask.work.cost()
        self._before_words = self._held - TOKEN_MS * ask.work.tokens
        self._is_held = True
        instance.busy += 1
        instance.outstanding += self._held
        instance.long += self._is_long

    def produced(self, tokens: int) -> None:
        """Note that so many tokens came, or that something did (0): the work that is left shrinks."""
        if not self._is_held:
            return
        done = min(self._held, self._before_words + TOKEN_MS * tokens)
        self._before_words = 0.0
        self._held -= done
        instance = self.instance
        instance.outstanding -= done
        instance.note_life()
        instance.stats.tokens += tokens
        if self._is_try:
            instance.answering()

    def release(self) -> None:
        """Give the place back, once; the next in the queue has it at once."""
        if not self._is_held:
            return
        self._is_held = False
        instance = self.instance
        instance.busy -= 1
        instance.outstanding = instance.outstanding - self._held if instance.busy else 0.0
        instance.long -= self._is_long
        if self._is_try:
            instance.breaker.end()
        self._released()
        instance.tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
