"""How fast each model has answered of late: times alone, of all visitors of this server, never a word.

What is noted are answers that a model gave; one that was at hand already, or shared, tells nothing of it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from ui.wire import Done, Event, Timing, Token

KEPT = 50  # answers of a model
KEPT_MODELS = 64
DAY_S = 24 * 3600.0
FEW_WORDS = 5  # too few to tell a pace from
AT_ONCE_S = 0.05  # words that come together were made before and say nothing of the pace
FROM_THE_MODEL = ("", "miss", "bypass")


@dataclass(frozen=True)
class Speed:
    """The middle of the last answers, with how many there were."""

    answers: int
    first_word_s: float
    words_per_s: float | None


@dataclass(frozen=True)
class _Noted:
    at: float
    first_word_s: float
    words_per_s: float | None


class Speeds:
    """The record. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noted: dict[str, deque[_Noted]] = {}

    def of(self, model: str) -> Speed | None:
        """Return how fast a model was in the last day, or None where nobody knows."""
        since = time.monotonic() - DAY_S
        with self._lock:
            noted = [one for one in self._noted.get(model, ()) if one.at > since]
        if not noted:
            return None
        paces = [one.words_per_s for one in noted if one.words_per_s is not None]
        return Speed(len(noted), median(one.first_word_s for one in noted), median(paces) if paces else None)

    def note(self, model: str, timing: Timing, words: int, streaming_s: float) -> None:
        """Note an answer of so many words, which came in `streaming_s` from the first to the last."""
        if timing.ttft_ms is None or timing.cache not in FROM_THE_MODEL:
            return
        paced = words >= FEW_WORDS and streaming_s >= AT_ONCE_S
        one = _Noted(time.monotonic(), timing.ttft_ms / 1000, words / streaming_s if paced else None)
        with self._lock:
            if model in self._noted or len(self._noted) < KEPT_MODELS:
                self._noted.setdefault(model, deque(maxlen=KEPT)).append(one)

    def watched(self, model: str, events: Iterator[Event]) -> Iterator[Event]:
        """Pass the events of an answer on, and note its times at the end."""
        text: list[str] = []
        first = last = 0.0
        for event in events:
            match event:
                case Token(piece):
                    last = time.monotonic()
                    first = first or last
                    text.append(piece)  # a word may come in two pieces, so they are counted at the end
                case Done(timing):
                    self.note(model, timing, len("".join(text).split()), last - first)
            yield event


SPEEDS = Speeds()
"""Of this process: the controller's own figures are by instance, and may be shut to the pages."""
