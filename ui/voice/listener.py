"""Hears a visitor's microphone frame by frame, apart from any run of the page."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

from ui.voice.hearing import Ear
from ui.voice.levels import Pcm
from ui.voice.news import News
from ui.voice.turns import Began, Dropped, Ended, TurnDetector

Hearing = Literal["connecting", "learning", "listening", "hearing", "muted"]

METER_S, METER_STEP = 0.2, 0.12  # how often the page is told of the loudness, and from which change on
SILENT_S = 3.0  # a microphone that sends nothing for so long is gone


class Listener:
    """Turns frames into turns. `frame` is called on the loop of streamlit-webrtc, so all here is short."""

    def __init__(
        self,
        detector: TurnDetector,
        on_began: Callable[[], None],
        on_turn: Callable[[Pcm, float, bool], None],
        news: News,
        left_alone_s: float,
    ) -> None:
        """Call `on_began` when somebody speaks, `on_turn` with its sound, quiet end, and if it was cut."""
        self.detector = detector
        self.replying = False  # the demo speaks: set by who plays
        self.looked_at = self.opened_at = time.monotonic()
        self._on_began = on_began
        self._on_turn = on_turn
        self._news = news
        self._left_alone_s = left_alone_s
        self._ear = Ear()
        self._muted = False
        self._closed = False
        self._framed_at = 0.0
        self._metered_at = self._metered = 0.0

    @property
    def hearing(self) -> Hearing:
        """What it does now."""
        if not self.connected:
            return "connecting"
        if self._muted:
            return "muted"
        if self.detector.learning:
            return "learning"
        return "hearing" if self.detector.hearing else "listening"

    @property
    def connected(self) -> bool:
        """Whether sound arrives."""
        return time.monotonic() - self._framed_at < SILENT_S

    @property
    def waited_s(self) -> float:
        """How long no sound has arrived, in seconds; 0 while it does."""
        return 0.0 if self.connected else time.monotonic() - max(self.opened_at, self._framed_at)

    @property
    def muted(self) -> bool:
        """Whether what arrives is left unheard."""
        return self._muted

    @muted.setter
    def muted(self, muted: bool) -> None:
        if muted and not self._muted:
            self.detector.forget()
        self._muted = muted

    @property
    def meter(self) -> float:
        """How loud it is, 0 to 1."""
        return self.detector.meter if self.connected and not self._muted else 0.0

    def close(self) -> None:
        """Hear nothing any more."""
        self._closed = True

    def frame(self, frame: Any) -> None:
        """Hear what the microphone sent."""
        now = time.monotonic()
        left_alone = now - self.looked_at > self._left_alone_s
        if self._closed or left_alone:
            self.detector.forget()
            return
        first = not self.connected
        self._framed_at = now
        if first:
            self._news.tell()
        if self._muted:
            return
        for pcm in self._ear.frames(frame):
            self.detector.guarded = self.replying
            self._take(pcm)
        if now - self._metered_at > METER_S and abs(self.meter - self._metered) > METER_STEP:
            self._metered_at, self._metered = now, self.meter
            self._news.tell()

    def _take(self, pcm: Pcm) -> None:
        match self.detector.feed(pcm):
            case Began():
                self._on_began()
            case Ended(turn, quiet_s, cut):
                self._on_turn(turn, quiet_s, cut)
            case Dropped():
                self._news.tell()
