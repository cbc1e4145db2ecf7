"""A bell that threads ring when something has changed, and that a page's run waits for."""

from __future__ import annotations

import threading


class News:
    """Counts what has changed."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = threading.Condition()

    def tell(self) -> None:
        """Say that something has changed."""
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    def wait(self, seen: int, timeout_s: float) -> int:
        """Return the count once it is past `seen`, or after `timeout_s` as it is."""
        with self._changed:
            self._changed.wait_for(lambda: self.count > seen, timeout_s)
            return self.count
