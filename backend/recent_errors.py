"""What went wrong in the last quarter of an hour, counted by code: for the host, who reads no logs."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator

WINDOW_S = 900.0
_MOST = 5_000  # remembered; in a greater storm the oldest are forgotten sooner
# What a caller's program did wrong, or a guess at a path: nothing to look after.
_PROGRAMS = frozenset({"not_found", "method_not_allowed", "missing_api_key", "invalid_api_key"})


class RecentErrors:
    """Codes and times; never what was asked or told."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._noted: deque[tuple[float, str]] = deque(maxlen=_MOST)

    def note(self, code: str) -> None:
        """Count one."""
        if code not in _PROGRAMS:
            self._noted.append((self._clock(), code))

    def __iter__(self) -> Iterator[tuple[str, int, float]]:
        """Go through code, number and seconds since the last one, the most frequent first."""
        now = self._clock()
        while self._noted and now - self._noted[0][0] > WINDOW_S:
            self._noted.popleft()
        counts = Counter(code for _, code in self._noted)
        last = {code: now - at for at, code in self._noted}
        for code, count in counts.most_common():
            yield code, count, last[code]
