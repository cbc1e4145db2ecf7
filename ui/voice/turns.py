"""Hears when somebody begins to speak and when the turn is over, from the loudness of 20 ms frames.

Time is counted in frames, so the same sound always gives the same turns.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from ui.voice.levels import FRAME_S, RATE, Pcm, level_db

LEARN_S = 1.0  # the noise of the room is learnt first
ABOVE_ON_DB, ABOVE_OFF_DB = 9.0, 5.0  # over the room's noise: speech begins, and is over
SOFTEST_DB = -56.0  # softer is no speech, however quiet the room
GUARD_DB = 8.0  # more, while the demo itself speaks: what is left of its voice must not interrupt it
BEGIN_FRAMES, BEGIN_WITHIN = 5, 7  # so many of the last so many are loud: somebody speaks
GUARDED_FRAMES, GUARDED_WITHIN = 10, 14
PRE_ROLL_S = 0.4  # kept from before the beginning, for the first syllable is soft
TAIL_S = 0.25  # kept after the last loud frame
SHORTEST_S = 0.24  # of loud frames: less is a knock or a click
STEADY_S, STEADY_DB = 2.0, 2.2  # a sound that varies less in this time is a machine
LOWEST_OVER_S = 3.0  # the noise is the least that was heard in this time
RISE_DB_PER_S, RISE_WHILE_HEARING_DB_PER_S = 3.0, 1.0


@dataclass(frozen=True)
class Began:
    """Somebody speaks."""


@dataclass(frozen=True)
class Dropped:
    """It was no speech after all."""


@dataclass(frozen=True)
class Ended:
    """A turn is over. `quiet_s` is how long ago its last sound was; `cut`: it was the longest allowed."""

    pcm: Pcm
    quiet_s: float
    cut: bool = False


Heard = Began | Dropped | Ended


class TurnDetector:
    """Feed it frames of FRAME samples."""

    def __init__(self, end_wait_s: float, longest_s: float) -> None:
        """A turn is over after `end_wait_s` of quiet, or when it is `longest_s` long."""
        self.end_wait_s = end_wait_s
        self.longest_s = longest_s
        self.guarded = False  # set it while the demo itself speaks
        self.hearing = False
        self.level_db = self.floor_db = SOFTEST_DB
        self._smooth: deque[float] = deque(maxlen=5)
        self._lowest: deque[float] = deque(maxlen=_frames(LOWEST_OVER_S))
        self._loud: deque[bool] = deque(maxlen=GUARDED_WITHIN)
        self._recent: deque[float] = deque(maxlen=_frames(STEADY_S))
        self._kept: deque[tuple[Pcm, bool]] = deque(maxlen=_frames(LEARN_S + PRE_ROLL_S))
        self._turn: list[Pcm] = []
        self._learnt = self._quiet = self._loud_frames = 0

    @property
    def learning(self) -> bool:
        """Whether the noise of the room is still being learnt."""
        return self._learnt < _frames(LEARN_S)

    @property
    def meter(self) -> float:
        """How far the sound is above the room's noise, 0 to 1."""
        return float(np.clip((self.level_db - self.floor_db) / 36, 0, 1))

    def forget(self) -> None:
        """Drop the turn that is being heard; what is known of the room stays."""
        self.hearing = False
        self._turn.clear()
        self._loud.clear()
        self._kept.clear()

    def feed(self, frame: Pcm) -> Heard | None:
        """Hear one frame; return what it brought about, if anything."""
        self.level_db = level_db(frame)
        self._follow_noise()
        guard = GUARD_DB if self.guarded and not self.hearing else 0.0
        over = self.level_db - self.floor_db
        self._loud.append(over > ABOVE_ON_DB + guard and self.level_db > SOFTEST_DB + guard)
        if self.hearing:
            # Some noise flickers: what ends a turn is the mean of some frames.
            smooth = sum(self._smooth) / len(self._smooth)
            return self._go_on(frame, smooth > max(self.floor_db + ABOVE_OFF_DB, SOFTEST_DB))
        self._kept.append((frame, self._loud[-1]))
        return None if self.learning else self._begin()

    def _follow_noise(self) -> None:
        """Sink with the noise at once; rise slowly to the least that was heard of late."""
        self._smooth.append(self.level_db)
        smooth = sum(self._smooth) / len(self._smooth)
        self._lowest.append(smooth)
        if self.learning:
            self._learnt += 1
            # Somebody may speak already: the quiet moments of the second count.
            self.floor_db = float(np.quantile(self._lowest, 0.2))
            return
        lowest = min(self._lowest)
        if lowest < self.floor_db:
            self.floor_db += (lowest - self.floor_db) * 0.2
        else:
            rise = RISE_WHILE_HEARING_DB_PER_S if self.hearing else RISE_DB_PER_S
            self.floor_db += min(lowest - self.floor_db, rise * FRAME_S)

    def _begin(self) -> Heard | None:
        needed, within = (GUARDED_FRAMES, GUARDED_WITHIN) if self.guarded else (BEGIN_FRAMES, BEGIN_WITHIN)
        loud = sum(list(self._loud)[-within:])
        if loud < needed:
            return None
        self.hearing = True
        self._turn = self._from_its_beginning()
        self._kept.clear()
        self._recent.clear()
        self._quiet, self._loud_frames = 0, loud
        return Began()

    def _from_its_beginning(self) -> list[Pcm]:
        """Return what was kept, from a moment before the first of the loud frames that led up to now."""
        first = quiet = 0
        for back, (_, loud) in enumerate(reversed(self._kept), 1):
            first, quiet = (back, 0) if loud else (first, quiet + 1)
            if quiet > _frames(PRE_ROLL_S):
                break
        return [frame for frame, _ in self._kept][-(first + _frames(PRE_ROLL_S)) :]

    def _go_on(self, frame: Pcm, loud: bool) -> Heard | None:
        self._turn.append(frame)
        self._recent.append(self.level_db)
        self._quiet = 0 if loud else self._quiet + 1
        self._loud_frames += loud
        if len(self._recent) == self._recent.maxlen and np.std(self._recent) < STEADY_DB:
            self.floor_db = float(np.mean(self._recent))
            self._lowest.clear()
            return self._end(dropped=True)
        if len(self._turn) * FRAME_S >= self.longest_s:
            return self._end(cut=True)
        if self._quiet * FRAME_S >= self.end_wait_s:
            return self._end(dropped=self._loud_frames * FRAME_S < SHORTEST_S)
        return None

    def _end(self, dropped: bool = False, cut: bool = False) -> Heard:
        quiet = self._quiet
        turn, self._turn = self._turn, []
        self.forget()
        if dropped:
            return Dropped()
        superfluous = max(0, quiet - _frames(TAIL_S))
        pcm = np.concatenate(turn[: len(turn) - superfluous])
        return Ended(pcm, quiet * FRAME_S, cut)


def _frames(seconds: float) -> int:
    return round(seconds / FRAME_S)


def seconds(pcm: Pcm) -> float:
    """Return how long sound at RATE lasts."""
    return len(pcm) / RATE
