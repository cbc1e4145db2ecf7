"""Finished answers, kept in memory and replayed: the least recently used go first, and all grow old."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from backend.answer import Done, Event

_OVERHEAD = 400  # bytes an entry costs besides its text; a piece costs a quarter of that


class AnswerCache:
    """Answers by the key of their request, bounded in bytes and age."""

    def __init__(self, max_bytes: int, max_age_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._clock = clock
        self._entries: OrderedDict[str, tuple[tuple[Event, ...], int, float]] = OrderedDict()
        self._bytes = 0

    def get(self, key: str) -> tuple[Event, ...] | None:
        """Return the events of a finished answer, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        events, _, kept_at = entry
        if self._clock() - kept_at > self._max_age_s:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return events

    def put(self, key: str, events: Sequence[Event]) -> None:
        """Keep an answer if it came to its end; one that failed or was cut is never kept."""
        last = events[-1] if events else None
        if not (isinstance(last, Done) and last.is_whole):
            return
        size = _OVERHEAD + sum(_size(event) for event in events)
        if size > self._max_bytes:
            return
        if key in self._entries:
            self._drop(key)
        self._entries[key] = (tuple(events), size, self._clock())
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: str) -> None:
        self._bytes -= self._entries.pop(key)[1]


def _size(event: Event) -> int:
    return _OVERHEAD // 4 + (0 if isinstance(event, Done) else len(event.text.encode()))
