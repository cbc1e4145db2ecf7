"""Ends the demo when the terminal that it was started in is gone.

A closed connection signals only the first process of the session. Where that is `make`, it waits for its
children, which would then go on for ever without anybody knowing.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading


def end_with_terminal() -> None:
    """Watch the terminal on stdin, if there is one, from a thread."""
    try:
        attached = os.isatty(sys.stdin.fileno())
    except (OSError, ValueError):
        return
    if attached and hasattr(select, "poll"):
        threading.Thread(target=_watch, args=(sys.stdin.fileno(),), name="terminal", daemon=True).start()


def _watch(terminal: int) -> None:
    hang_up = select.poll()
    hang_up.register(terminal, 0)  # POLLHUP and POLLERR are always told
    hang_up.poll()
    os.kill(os.getpid(), signal.SIGTERM)
