"""How long each part of an answer took; it is part of the answer."""

from __future__ import annotations

import time

from backend.answer import Done, Event, Head, Queued, Token
from backend.job import Trip

HIT, MISS, SHARED, BYPASS = "hit", "miss", "shared", "bypass"


class Timing:
    """Clocks one request from its first byte. Durations are in milliseconds, sound in seconds.

    `trip` is what happened between us and the engines; who follows an answer that another asked for has the
    other's.
    """

    def __init__(self) -> None:
        self.decode_ms = 0.0
        self.audio_s = 0.0
        self.cache = BYPASS
        self.trip = Trip()
        self.done: Done | None = None  # how the answer ended, None while it has not, or never will
        self._started = time.perf_counter()
        self._first: float | None = None
        self._last = 0.0
        self._tokens = 0
        self._burst = 0  # tokens that came with the first: who joins late gets many at once
        self._total_ms: float | None = None

    @property
    def instance(self) -> str:
        """The name of the instance that answers, empty when none was asked."""
        return self.trip.instance

    @property
    def queue_ms(self) -> float:
        """How long the answer waited for a place."""
        return self.trip.queue_ms

    @property
    def elapsed_ms(self) -> float:
        """Time since the request came."""
        return _ms(time.perf_counter() - self._started)

    @property
    def total_ms(self) -> float | None:
        """Time from the request's first byte to the answer's last, None before that."""
        return self._total_ms

    @property
    def ttft_ms(self) -> float | None:
        """Time to the first token, or the first bytes of a reply that is passed through; None before it."""
        return None if self._first is None else _ms(self._first - self._started)

    @property
    def itl_ms(self) -> float | None:
        """The mean time between two tokens; None for a replay, which has no speed of its own."""
        spread, count = self._pace()
        return _ms(spread / count) if count else None

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens a second after the first."""
        spread, count = self._pace()
        return round(count / spread, 1) if count else None

    @property
    def tokens(self) -> int:
        """How many tokens the answer has, or has had until now: the engine's word, else pieces counted."""
        usage = self.done.usage if self.done else None
        return usage.completion_tokens if usage and usage.completion_tokens else self._tokens

    def saw(self, *items: Event | Head | Queued | bytes) -> None:
        """Take note of pieces of the answer on their way out, a batch at a time."""
        now = time.perf_counter()
        tokens = sum(isinstance(item, Token) for item in items)
        if tokens or any(isinstance(item, bytes) for item in items):
            self._last = now
            if self._first is None:
                self._first, self._burst = now, tokens
        self._tokens += tokens
        last = items[-1] if items else None
        if isinstance(last, Done):
            self.ended(last)

    def ended(self, done: Done) -> None:
        """Take note of the end. A chat answer brings its own; a reply that is passed through has none."""
        self.done = done
        self._total_ms = self.elapsed_ms

    def card(self) -> dict[str, float | str | None]:
        """Return every figure known by now, for the final chunk."""
        anew = self.done and self.cache != HIT  # else nothing was heard or made for this request
        return {
            **(self.done.engine_timing if self.done and anew else {}),
            "decode_ms": self.decode_ms,
            "queue_ms": self.queue_ms,
            "cache": self.cache,
            "ttft_ms": self.ttft_ms,
            "itl_ms": self.itl_ms,
            "tokens_per_s": self.tokens_per_s,
            "total_ms": self.total_ms or self.elapsed_ms,
            "instance": self.instance,
            "attempts": self.trip.attempts,
            "resumed": self.trip.resumed,
            "hedged": self.trip.hedged,
        }

    def headers(self) -> dict[str, str]:
        """Return what is known when the answer begins, as response headers."""
        durations = {
            "decode": self.decode_ms,
            "queue": self.queue_ms,
            "ttft": self.ttft_ms,
            "itl": self.itl_ms,
            "total": self.total_ms,
        }
        words: dict[str, object] = {
            "cache": self.cache,
            "tps": self.tokens_per_s,
            "instance": self.instance,
            "attempts": self.trip.attempts if self.trip.attempts > 1 else None,
            "resumed": self.trip.resumed,
            "hedged": self.trip.hedged,
        }
        figures = [f"{name};dur={ms}" for name, ms in durations.items() if ms is not None]
        # Quoted: names of instances hold no quotes and no backslashes, the registry sees to that.
        figures += [f'{name};desc="{word}"' for name, word in words.items() if word]
        headers = {"Server-Timing": ", ".join(figures), "x-meralion-cache": self.cache}
        return headers | ({"x-meralion-instance": self.instance} if self.instance else {})

    def _pace(self) -> tuple[float, int]:
        """Return the seconds after the first token, and how many tokens came in them; both 0 when unknown."""
        count = self.tokens - max(self._burst, 1)
        spread = self._last - self._first if self._first is not None else 0.0
        return (spread, count) if count > 0 and spread > 0 and self.cache != HIT else (0.0, 0)


def _ms(seconds: float) -> float:
    return round(1_000 * seconds, 2)
