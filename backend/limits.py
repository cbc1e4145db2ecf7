"""How often one caller may ask: as many at once as in a minute, then evenly."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from backend.errors import Busy
from backend.identity import Caller
from backend.redis_link import RedisAway, RedisLink
from backend.settings import Settings

_MINUTE_S = 60.0
_MAX_CALLERS = 100_000  # whose times are kept; beyond it the one who has not asked for longest is forgotten

# A bucket holds a minute, and each request takes its share of one. It is kept as the time at which it will be
# full again, so that a full one need not be kept. The clock is Redis's own: those of controllers may differ.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + tonumber(ARGV[1])
local wait = full_at - tonumber(ARGV[2]) - now
if wait > 0 then return math.ceil(wait) end
redis.call('SET', KEYS[1], string.format('%.3f', full_at), 'PX', math.ceil(full_at - now))
return 0
"""


class Limits:
    """Counts what each caller asks for, over all controllers where they share a Redis."""

    def __init__(
        self, settings: Settings, link: RedisLink | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._signed_per_minute = settings.visitor_requests_per_minute
        self._others_per_minute = settings.requests_per_minute
        self._link = link
        self._take = link.client.register_script(_TAKE) if link else None
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()  # in seconds; the last to ask is last

    async def take(self, caller: Caller) -> None:
        """Count one request. Raises Busy when the caller must wait first."""
        per_minute = self._signed_per_minute if caller.signed else self._others_per_minute
        if not per_minute:
            return
        wait_s = await self._wait_shared(caller.counted_as, per_minute)
        if wait_s is None:
            wait_s = self._wait(caller.counted_as, per_minute)
        if wait_s > 0:
            raise Busy(
                "rate_limited",
                f"You have asked more than {per_minute} times in a minute. Wait a moment, then ask again.",
                headers={"Retry-After": str(math.ceil(wait_s))},
            )

    async def _wait_shared(self, name: str, per_minute: int) -> float | None:
        """Return the seconds to wait by Redis's word; None while it is away."""
        if self._link is None or self._take is None or not self._link.up:
            return None
        try:
            with self._link.guard():
                wait_ms = await self._take(
                    keys=[f"{self._link.prefix}rate:{name}"],
                    args=[1_000 * _MINUTE_S / per_minute, 1_000 * _MINUTE_S],
                )
        except RedisAway:
            return None
        return float(wait_ms) / 1_000

    def _wait(self, name: str, per_minute: int) -> float:
        """Return the seconds to wait, by what this controller has seen."""
        now = self._clock()
        full_at = max(self._full_at.get(name, now), now) + _MINUTE_S / per_minute
        wait_s = full_at - _MINUTE_S - now
        if wait_s > 0:
            return wait_s
        self._full_at[name] = full_at
        self._full_at.move_to_end(name)
        while len(self._full_at) > _MAX_CALLERS:
            self._full_at.popitem(last=False)
        return 0.0
