"""The queues: visitors take turns, so that nobody waits for all that another asked."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Generic, Literal, TypeVar

from backend.errors import Busy
from backend.identity import ANONYMOUS

T = TypeVar("T")

_REMEMBERED = 64  # answers
_LONGEST_WAIT_S = 60
_UNKNOWN_S = 5


class FairQueue(Generic[T]):
    """Who waits: round robin over owners, first come first served within one; the urgent before all.

    Adding, taking and leaving take a time that does not grow with the queue, but for the position of an
    owner's second and later ones, which grows with the owners.
    """

    def __init__(self, most: int, most_of_one: int) -> None:
        """`most` may wait in all, `most_of_one` of one owner, half of all of one address.

        None of it holds for the urgent.
        """
        self._most = most
        self._most_of_one = most_of_one
        self._owners: OrderedDict[str, dict[T, None]] = OrderedDict()  # in the order of their turns
        self._urgent: dict[T, None] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def owners(self) -> int:
        """How many owners wait."""
        return len(self._owners)

    @property
    def urgent(self) -> int:
        """How many who wait are urgent."""
        return len(self._urgent)

    def full(self, owner: str) -> Literal["", "all", "mine"]:
        """Say whether `owner` may not wait as well, and if so for whose sake."""
        if len(self) - len(self._urgent) >= self._most:
            return "all"
        share = (self._most + 1) // 2 if owner.startswith(ANONYMOUS) else self._most_of_one
        return "mine" if len(self._owners.get(owner, ())) >= share else ""

    def push(self, item: T, owner: str, *, urgent: bool = False) -> int:
        """Add `item` at the end of its owner's; return its position, from 1."""
        line = self._urgent if urgent else self._owners.setdefault(owner, {})
        line[item] = None
        self._count += 1
        if urgent:
            return len(self._urgent)
        rounds, before, passed = len(line), len(self._urgent), False
        if rounds == 1:  # the others' first ones are before it, and nothing else
            return before + len(self._owners)
        for other, theirs in self._owners.items():
            passed |= other == owner
            before += min(len(theirs), rounds - 1 if passed and other != owner else rounds)
        return before

    def pop(self, fits: Callable[[T], bool]) -> T | None:
        """Take out the first in order that fits, and give its owner's turn to the next; None if none does."""
        for item in self._urgent:
            if fits(item):
                self.discard(item, "")
                return item
        for owner, line in self._owners.items():
            for item in line:
                if fits(item):
                    self._owners.move_to_end(owner)
                    self.discard(item, owner)
                    return item
        return None

    def discard(self, item: T, owner: str) -> None:
        """Take `item` out if it is still there."""
        line = self._owners.get(owner, {})
        if item in self._urgent:
            del self._urgent[item]
        elif item in line:
            del line[item]
            if not line:
                del self._owners[owner]
        else:
            return
        self._count -= 1

    def __iter__(self) -> Iterator[T]:
        """Go through all in the order in which they will come out, if none comes or goes."""
        yield from list(self._urgent)
        turns = [iter(list(line)) for line in self._owners.values()]
        while turns:
            going = []
            for turn in turns:
                for item in turn:
                    yield item
                    going.append(turn)
                    break
            turns = going


class Pace:
    """How fast answers have come to their end, to say how long a queue will take."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ends: deque[float] = deque(maxlen=_REMEMBERED)

    def answered(self) -> None:
        """Note the end of an answer."""
        self._ends.append(self._clock())

    def wait_s(self, ahead: int) -> int:
        """Return about how many seconds `ahead` answers more will take, 1 to 60; 5 when nothing is known."""
        now = self._clock()
        while self._ends and now - self._ends[0] > _LONGEST_WAIT_S:
            self._ends.popleft()
        if not self._ends:
            return _UNKNOWN_S
        each = (now - self._ends[0]) / len(self._ends)
        return min(max(math.ceil(ahead * each), 1), _LONGEST_WAIT_S)


class Turns:
    """So many recordings are decoded at once; the others wait in a fair queue with a bound and an end."""

    def __init__(
        self,
        places: int,
        most: int,
        most_of_one: int,
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`most` may wait in all and `most_of_one` of one owner, none of them longer than `timeout_s`."""
        self._free = places
        self._queue: FairQueue[asyncio.Future[None]] = FairQueue(most, most_of_one)
        self._timeout_s = timeout_s
        self._pace = Pace(clock)

    @contextlib.asynccontextmanager
    async def turn(self, owner: str) -> AsyncIterator[None]:
        """Hold a place. Raises Busy where too many wait, or it took too long."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(owner)
        try:
            yield
        finally:
            self._pace.answered()
            self._pass_on()

    async def _wait(self, owner: str) -> None:
        if why := self._queue.full(owner):
            raise self._busy("Several of your" if why == "mine" else "Too many")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.push(turn, owner)
        try:
            async with asyncio.timeout(self._timeout_s):
                await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            if turn.done() and not turn.cancelled():  # in the moment of leaving
                self._pass_on()
            if isinstance(error, TimeoutError):
                raise self._busy("Too many") from None
            raise
        finally:
            self._queue.discard(turn, owner)

    def _pass_on(self) -> None:
        turn = self._queue.pop(lambda turn: not turn.done())
        if turn:
            turn.set_result(None)
        else:
            self._free += 1

    def _busy(self, whose: str) -> Busy:
        seconds = self._pace.wait_s(len(self._queue))
        return Busy(
            "decoder_busy",
            f"{whose} recordings are waiting to be read. Try again in about {seconds} s, or send 16 kHz mono "
            "WAV (16-bit PCM), which need not wait.",
            headers={"Retry-After": str(seconds)},
        )
