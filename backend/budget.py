"""How many bytes of what callers send may be in memory at once: beyond it, they are asked to wait."""

from __future__ import annotations

from backend.errors import Busy


class Budget:
    """A bound that requests share."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held = 0

    @property
    def held(self) -> int:
        """How many bytes all requests hold together."""
        return self._held

    def share(self) -> Share:
        """Return the share of one request, empty at first."""
        return Share(self)

    def change(self, before: int, after: int) -> None:
        """Let a share change its size. Raises Busy when the whole would be too much."""
        # The first may be as large as the limit for one request allows.
        if after > before and self._held > before and self._held + after - before > self._max_bytes:
            raise Busy(
                "uploads_busy",
                "Many recordings are being read at the moment. Try again in half a minute.",
                headers={"Retry-After": "30"},
            )
        self._held += after - before


class Share:
    """What one request holds, in bytes; 0 gives it back."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held = 0

    def hold(self, size: int) -> None:
        """Hold `size` bytes from now on. Raises Busy."""
        self._budget.change(self._held, size)
        self._held = size
