"""Where a host's key is while the page is open: in memory, apart from what Streamlit keeps of a session.

The session holds a ticket, a random word that is of no use to anybody outside this process.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from ui.cascade.secret import Secret

UNUSED_S = 12 * 3_600  # an evening; then the key is typed again
_MOST = 50


class Held:
    """Keys by ticket. The one unused for longest makes room."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._keys: OrderedDict[str, tuple[Secret, float]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, key: Secret) -> str:
        """Hold a key; return its ticket."""
        ticket = secrets.token_urlsafe(16)
        with self._lock:
            self._keys[ticket] = (key, self._clock())
            while len(self._keys) > _MOST:
                self._keys.popitem(last=False)
        return ticket

    def get(self, ticket: str) -> Secret | None:
        """Return the key of a ticket, unless it has not been used for too long."""
        with self._lock:
            key, used = self._keys.pop(ticket, (None, 0.0))
            if key is None or self._clock() - used > UNUSED_S:
                return None
            self._keys[ticket] = (key, self._clock())
            return key

    def drop(self, ticket: str) -> None:
        """Forget a key."""
        with self._lock:
            self._keys.pop(ticket, None)


HELD = Held()
