"""How long each part of an answer took; it is part of the answer."""

from __future__ import annotations

import time

from backend.answer import Done, Event, Token

HIT, MISS, BYPASS = "hit", "miss", "bypass"


class Timing:
    """Clocks one request from its first byte. Durations are in milliseconds."""

    def __init__(self) -> None:
        self.decode_ms = 0.0
        self.queue_ms = 0.0
        self.cache = BYPASS
        self.instance = ""
        self._started = time.perf_counter()
        self._first: float | None = None
        self._last = 0.0
        self._tokens = 0
        self._engine: dict[str, float] = {}

    @property
    def elapsed_ms(self) -> float:
        """Time since the request came."""
        return _ms(time.perf_counter() - self._started)

    def saw(self, event: Event) -> None:
        """Take note of a piece of the answer on its way out."""
        if isinstance(event, Token):
            self._last = time.perf_counter()
            self._first = self._first or self._last
            self._tokens += 1
        elif isinstance(event, Done):
            self._engine = event.engine_timing if self.cache != HIT else {}  # nothing was heard or made anew
            if event.usage and event.usage.completion_tokens:
                self._tokens = event.usage.completion_tokens

    def card(self) -> dict[str, float | str | None]:
        """Return every figure known by now, for the final chunk."""
        spread = self._last - self._first if self._first else 0.0
        gaps = self._tokens - 1 if self.cache != HIT else 0  # a replay has no speed of its own
        return {
            "decode_ms": self.decode_ms,
            "queue_ms": self.queue_ms,
            "cache": self.cache,
            "ttft_ms": _ms(self._first - self._started) if self._first else None,
            "itl_ms": _ms(spread / gaps) if gaps > 0 else None,
            "tokens_per_s": round(gaps / spread, 1) if gaps > 0 and spread > 0 else None,
            "total_ms": self.elapsed_ms,
            "instance": self.instance,
            **self._engine,
        }

    def headers(self) -> dict[str, str]:
        """Return what is known when the answer begins, as response headers."""
        figures = [f"decode;dur={self.decode_ms}", f"queue;dur={self.queue_ms}", f'cache;desc="{self.cache}"']
        if self._first:
            figures.append(f"ttft;dur={_ms(self._first - self._started)}")
        headers = {"Server-Timing": ", ".join(figures), "x-meralion-cache": self.cache}
        return headers | ({"x-meralion-instance": self.instance} if self.instance else {})


def _ms(seconds: float) -> float:
    return round(1_000 * seconds, 2)
