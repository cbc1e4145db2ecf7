"""One question and its answer, asked apart from the page's runs: see `ui.follow`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ui.follow import Followed, Opened, Snapshot
from ui.looping import is_looping
from ui.wire import Begun, Done, Event, Heard, Queued, Timing, Token

Phase = Literal["starting", "waiting", "listening", "answering", "done", "stopped", "failed"]

UNFORESEEN = "Something went wrong on this page. Press Ask again; the host will find the reason in the log."


@dataclass(frozen=True)
class Progress(Snapshot):
    """What is known of an answer at one moment."""

    phase: Phase = "starting"
    queued: Queued | None = None  # the last place in the queue that was told
    heard: str = ""
    text: str = ""
    timing: Timing | None = None
    cut: bool = False  # the model ran into the token limit
    looping: bool = False  # it said the same again and again, and was stopped


class Answer(Followed[Progress, Event]):
    """An answer in the making. `opener` waits for the model where it must, then opens the stream."""

    unforeseen = UNFORESEEN

    def __init__(self, question: str, opener: Callable[[], Opened[Event]], left_alone_s: float) -> None:
        self.question = question
        super().__init__(Progress(), opener, left_alone_s)

    def _opened(self) -> None:
        self._update(phase="listening")

    def _take(self, event: Event) -> None:
        now = self._progress
        match event:
            case Queued():
                self._update(phase="waiting", queued=event)
            case Begun():
                self._update(phase="listening")
            case Heard(text):
                phase = "listening" if now.phase == "waiting" else now.phase
                self._update(phase=phase, heard=now.heard + text)
            case Token(text):
                whole = now.text + text
                self._update(phase="answering", text=whole)
                if is_looping(whole):
                    self._stopped.set()
                    self._update(phase="stopped", looping=True)
            case Done(timing, reason):
                self._update(phase="done", timing=timing, cut=reason == "length")
