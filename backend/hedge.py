"""Reads an answer from one instance and, while that is slow, from a second one beside it.

The first to bring something new goes on, and the other is cut at once. An instance is only left for one that
can be expected to be quicker, so that two engines under the same load do not do each other's work.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import time
from dataclasses import dataclass
from typing import Generic, TypeVar

from backend.attempt import Attempt, Course
from backend.balancer import Pool
from backend.errors import Busy, ControllerError, Unavailable
from backend.instance import Instance
from backend.job import Trip
from backend.resume import Diverged
from backend.settings import Settings
from backend.work import Ask

Item = TypeVar("Item")

_SOUND_PATIENCE = 0.15  # s until the first word for each s of sound: an engine on two cores takes up to 0.1
_LONG = 2.0  # times the patience: after that, who is as busy as the slow one may answer as well
_GAPS_PATIENCE = 3.0  # an engine that was silent before, and went on, is waited for so many times as long
_LOOK_AGAIN_S = 0.25  # while no other instance has a place
_LONGEST_PAUSE_S = 8.0  # after rivals that failed
_RIVALS_PATIENCE = (
    2.0  # times the leader's, for the first rival; each silent one gives the next twice as much
)
_LONGEST_PATIENCE_S = 3_600.0


@dataclass
class _Rival(Generic[Item]):
    """The second attempt; `new` is what it brought, None if that was the end."""

    task: asyncio.Task[None]
    attempt: Attempt[Item] | None = None
    has_won: bool = False
    new: list[Item] | None = None


class Race(Generic[Item]):
    """One attempt, the leader, and at most one more at a time, its rival."""

    def __init__(
        self,
        leader: Attempt[Item],
        course: Course[Item],
        pool: Pool,
        ask: Ask,
        trip: Trip,
        settings: Settings,
    ) -> None:
        self.leader = leader
        self.failed: set[Instance] = set()
        self._course = course
        self._pool = pool
        self._ask = ask
        self._trip = trip
        sound_s = _SOUND_PATIENCE * ask.work.audio_s
        self._first_s = max(settings.hedge_first_s, sound_s) if settings.hedge_first_s else math.inf
        self._silence_s = settings.hedge_silence_s or math.inf
        self._may_hedge = settings.retries > 0
        self._pause_s = _LOOK_AGAIN_S
        self._silent_rivals = 0
        self._since = math.inf  # when the wait for the leader began; infinite while nobody waits for it
        self._scope: asyncio.Timeout | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rival: _Rival[Item] | None = None
        self._look_in(min(self._first_s, self._silence_s))

    async def read(self) -> list[Item] | None:
        """Return what comes next and is new, perhaps nothing, or None at the end.

        Raises ControllerError when nobody is left to answer; `failed` has those who did not answer as they
        should.
        """
        if self._rival and self._rival.has_won:  # in the moment in which the leader brought nothing new
            return await self._follow(self._rival)
        try:
            new = await self._lead()
        except TimeoutError:
            if not (self._rival and self._rival.has_won):
                raise
            return await self._follow(self._rival)
        except ControllerError as failure:
            self._note(self.leader, failure)
            await self.leader.close()
            if self._rival is None:
                raise
            await asyncio.wait({self._rival.task})
            if not (self._rival and self._rival.has_won):  # it has failed as well, or had found no place
                raise
            return await self._follow(self._rival)
        if new or new is None:
            await self._call_off()
        return new

    async def close(self) -> None:
        """Cut off what has not ended."""
        self.leader.place.release()
        try:
            await self._call_off()
        finally:
            if self._timer:
                self._timer.cancel()
            await self.leader.close()

    async def _lead(self) -> list[Item] | None:
        """Read from the leader. Raises TimeoutError when a rival has won."""
        self._since = time.monotonic()
        try:
            async with asyncio.timeout(None) as self._scope:
                return await self.leader.read()
        finally:
            self._scope = None
            self._since = math.inf

    def _look_in(self, seconds: float) -> None:
        if self._timer:
            self._timer.cancel()
        if seconds < math.inf:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        """Start a rival when the leader has been waited for long enough; look again when it may be so."""
        patience_s = self._patience_s
        waits_s = time.monotonic() - self._since
        if self._rival is None and waits_s >= patience_s and self._course.can_begin and self._may_hedge:
            self._rival = _Rival(asyncio.create_task(self._challenge(self._since)))
            return
        left_s = patience_s - max(waits_s, 0.0)
        self._look_in(min(left_s if left_s > 0 else _LOOK_AGAIN_S, self._silence_s))

    @property
    def _patience_s(self) -> float:
        """How long the leader may be silent before somebody else is asked as well."""
        if self.leader.has_begun:
            return max(self._silence_s, _GAPS_PATIENCE * self.leader.longest_gap_s)
        return self._first_s

    async def _challenge(self, since: float) -> None:
        """Try to be quicker than the leader, which has brought nothing `since` then."""
        rival, slow = self._rival, self.leader.instance
        assert rival is not None
        attempt = await self._second(since)
        if attempt is None:
            self._rival = None
            self._look_in(_LOOK_AGAIN_S)
            return
        rival.attempt = attempt
        patience_s = _RIVALS_PATIENCE * 2**self._silent_rivals * self._patience_s
        try:
            new: list[Item] | None = []
            while new is not None and not new:
                async with asyncio.timeout(min(patience_s, _LONGEST_PATIENCE_S)):
                    new = await attempt.read()
        except TimeoutError:  # two that hang are no reason not to ask a third
            self._silent_rivals += 1
            await self._give_up(attempt)
            return
        except ControllerError as failure:
            self._note(attempt, failure)
            if isinstance(failure, Diverged):
                self._may_hedge = False
            await self._give_up(attempt)
            return
        except BaseException:
            await attempt.close()
            raise
        if _is_stuck(slow, since) and slow not in self.failed:
            self.failed.add(slow)
            slow.failed("slow", self._ask.owner)
        rival.has_won, rival.new = True, new
        if self._scope:
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def _give_up(self, rival: Attempt[Item]) -> None:
        """Cut off a rival that failed, and pause before the next."""
        await rival.close()
        self._rival = None
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        self._look_in(self._pause_s)

    async def _second(self, since: float) -> Attempt[Item] | None:
        """Begin elsewhere; None when there is no place, or none where it would be quicker.

        From an instance that is stuck, the next place is waited for, before all who have not begun.
        """
        slow = self.leader.instance
        is_stuck = _is_stuck(slow, since)
        ask = dataclasses.replace(self._ask, urgent=self._ask.urgent or is_stuck)
        try:
            try:
                place = await self._pool.enter(ask, avoid={slow, *self.failed}, wait=False)
            except Busy:  # those that failed may be well by now; in the end all have, and the slow one hangs
                place = await self._pool.enter(ask, avoid={slow}, wait=is_stuck)
        except (Busy, Unavailable):
            return None
        other = place.instance
        is_quicker = (
            other.answered_at > since or other.busy <= slow.busy if is_stuck else other.busy < slow.busy
        ) or time.monotonic() - since > _LONG * self._patience_s
        if other is slow or not is_quicker:
            place.release()
            return None
        self._trip.hedged += 1
        self._trip.attempts += 1
        other.stats.hedged += 1
        return self._course.begin(place)

    async def _follow(self, rival: _Rival[Item]) -> list[Item] | None:
        """Go on with the rival, which was quicker."""
        assert rival.attempt is not None
        slow, self.leader = self.leader, rival.attempt
        self._rival = None
        self._trip.instance = self.leader.instance.name
        if self._course.sent:
            self._trip.resumed += 1
            self.leader.instance.stats.resumed += 1
        self._look_in(self._silence_s)
        await slow.close()
        return rival.new

    async def _call_off(self) -> None:
        """Cut the rival off."""
        rival, self._rival = self._rival, None
        if rival is None:
            return
        if rival.attempt:
            rival.attempt.place.release()
        rival.task.cancel()
        await asyncio.wait({rival.task})
        if rival.has_won:
            assert rival.attempt is not None
            await rival.attempt.close()
        self._look_in(self._silence_s)

    def _note(self, attempt: Attempt[Item], failure: ControllerError) -> None:
        if not isinstance(failure, Diverged | Busy | Unavailable):  # who is busy rests, and is asked again
            self.failed.add(attempt.instance)
        self._course.report(attempt, failure)


def _is_stuck(instance: Instance, since: float) -> bool:
    """Whether an instance has brought nobody anything for at least half of the time `since` then."""
    now = time.monotonic()
    return now - instance.answered_at >= (now - since) / 2
