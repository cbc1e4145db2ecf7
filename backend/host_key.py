"""The key of whoever hosts an event: one, compared in constant time; wrong ones are answered slowly."""

from __future__ import annotations

import asyncio
import hashlib
import hmac

from starlette.requests import HTTPConnection

from backend.errors import Busy, NotFound, StartError, Unauthorized
from backend.identity import bearer
from backend.keys import weakness
from backend.settings import Settings

_MIN_CHARS = 16
_WRONG_S = 1.0  # that a wrong key waits for its answer, one after another
_MOST_WRONG = 8  # that wait at once


class HostKey:
    """Lets the host in. Raises StartError for a weak key."""

    def __init__(self, settings: Settings) -> None:
        key = settings.host_key.get_secret_value() if settings.host_key else ""
        if key and (why := weakness(key, _MIN_CHARS)):
            raise StartError(f"MERALION_HOST_KEY {why}. Make a good one with: openssl rand -base64 24")
        self._digest = hashlib.sha256(key.encode()).digest() if key else None
        self._turn = asyncio.Lock()
        self._wrong = 0

    async def admit(self, request: HTTPConnection) -> None:
        """Return for the right key, at once.

        Raises:
            NotFound: this controller has no host key, and so nothing to host.
            Unauthorized: another key, or none; told after a second, and after all who guess beside it.
            Busy: too many guess.
        """
        if self._digest is None:
            raise NotFound("not_found", "There is nothing here. Check the path.")
        given = bearer(request)
        if given is not None and hmac.compare_digest(hashlib.sha256(given.encode()).digest(), self._digest):
            return
        if self._wrong >= _MOST_WRONG:
            raise Busy(
                "host_key_busy",
                "Wrong host keys come too often. Wait a little, then try again.",
                headers={"Retry-After": str(round(_MOST_WRONG * _WRONG_S))},
            )
        self._wrong += 1
        try:
            async with self._turn:
                await asyncio.sleep(_WRONG_S)
        finally:
            self._wrong -= 1
        raise Unauthorized(
            "host_key_wrong", "This is not the host's key. The event kit shows it when it starts."
        )
