"""What the host page remembers; the key is not among it (held.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ui.host.held import HELD
from ui.session import Part


@dataclass
class HostState(Part):
    """One host at the page."""

    ticket: str = ""  # of the key, once one was typed
    fields: int = 0  # how often the field for it was emptied; it goes into the field's name
    problem: str = ""  # why what was typed, or pressed, did not do
    done: str = ""  # what was done just now
    sure: Literal["", "pause", "start_over"] = ""  # what a button asks about
    drawn_paused: bool = False  # what the buttons were drawn for

    def lock(self) -> None:
        """Forget the key."""
        HELD.drop(self.ticket)
        self.ticket = self.sure = self.done = ""

    def clear(self) -> None:
        """Forget the key with all else."""
        self.lock()
