"""A model at work for the cascade: its answer on the way, and what it takes."""

from __future__ import annotations

from collections.abc import Callable

from ui.answer import Answer
from ui.cascade.meter import Meter, Metered
from ui.cascade.trouble import failure
from ui.follow import Opened
from ui.settings import settings
from ui.wire import Event

WAIT_S = 1.0


class Stage:
    """An answer and its meter. `opener` may wait: the meter starts when the request is sent."""

    def __init__(self, question: str, opener: Callable[[], Opened[Event]]) -> None:
        self.meter = Meter()
        meter = self.meter
        self.answer = Answer(question, lambda: Metered(opener(), meter), settings().left_alone_s)

    @property
    def text(self) -> str:
        """What has come so far."""
        return self.answer.progress.text.strip()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.answer.progress.ended

    def whole(self) -> str:
        """Wait for the end and return the text. Raises ClientError where there is none."""
        progress = self.answer.progress
        while not progress.ended:
            progress = self.answer.wait(progress.version, WAIT_S)
        if progress.error is not None:
            raise progress.error
        if not self.text:
            raise failure("text_no_words")
        return self.text

    def stop(self) -> None:
        """End it and keep what came."""
        self.answer.stop()
