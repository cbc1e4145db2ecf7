"""What is going on, for who waits: a line of a terminal, written over, or now and then one of a log."""

from __future__ import annotations

import sys
import time

_EVERY_S = 15.0  # in a log
_OVER = "\r\x1b[K"  # to the line's beginning, and clear it


class Telling:
    """Writes to stderr; stdout is for the table."""

    def __init__(self) -> None:
        self._told = time.monotonic()
        self._open = False  # a line that is to be written over

    def waiting(self, text: str) -> None:
        """Say what is waited for; the next words replace it."""
        if sys.stderr.isatty():
            _write(f"{_OVER}{text}")
            self._open = True
        elif time.monotonic() - self._told >= _EVERY_S:
            self._told = time.monotonic()
            _write(f"{text}\n")

    def line(self, text: str) -> None:
        """Say what is done."""
        _write(f"{_OVER if self._open else ''}{text}\n")
        self._open = False


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
