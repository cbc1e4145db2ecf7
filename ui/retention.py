"""Deletes donations that are older than the host keeps them: at the first visit, and every day after."""

from __future__ import annotations

import threading
import time

from ui import logs
from ui.donations import Donations
from ui.records import NotKept

DAY_S = 86_400.0
_lock = threading.Lock()
_kept: set[Donations] = set()


def retain(donations: Donations, days: float) -> None:
    """Delete what is older than `days` now and every day, from a thread; 0 keeps all. Twice does no harm."""
    if days <= 0:
        return
    with _lock:
        if donations in _kept:
            return
        _kept.add(donations)
    threading.Thread(target=_daily, args=(donations, days), name="retention", daemon=True).start()


def _daily(donations: Donations, days: float) -> None:
    while True:
        try:
            if count := donations.purge(days):
                logs.event("donations purged", count=count)
        except (NotKept, OSError) as error:
            logs.event("donations not purged", reason=type(error).__name__)
        time.sleep(DAY_S)
