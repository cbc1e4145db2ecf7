"""The way to Redis or Valkey, which every part does without when it is away.

Only plain commands are used, so any Redis from 7.0 on and any Valkey will do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from traceback import walk_tb
from typing import Any

import redis
from pydantic import SecretStr
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from backend import logs
from backend.errors import StartError

PATIENCE_S = 0.25  # for a connection, and for an answer: no request waits longer for a Redis that hangs
READ_S = 0.1  # a blocking read blocks so long; with READ_PATIENCE_S it notices within 0.3 s that Redis hangs
READ_PATIENCE_S = 0.3
READERS = 64  # reads that may block at once, each on a connection of its own
_CONNECTIONS = 32
_TURN_S = 0.1  # for a connection that others use; in a greater crowd than this allows, some go alone
_REST_S = 2.0  # after a failure, and between two pings
_START_PATIENCE_S = 1.0


class RedisAway(Exception):
    """Redis did not do what it was asked, or not in time. The caller goes on alone."""


class RedisRefused(RedisAway):
    """Redis is there and did not do this: it is full, only read from, or holds something else there."""


class RedisLink:
    """One controller's connections. `up` says whether asking is worth while now.

    Raises StartError for an address that cannot be read, or when Redis refuses the name, the password or the
    database. A Redis that only cannot be reached is waited for in the background.
    """

    def __init__(self, url: SecretStr, prefix: str) -> None:
        self.prefix = prefix
        self.up = _answers(url)
        self.client = _client(url, _CONNECTIONS, PATIENCE_S)
        self.reader = _client(url, READERS, READ_PATIENCE_S)
        self._failed = asyncio.Event()
        self._refusals: set[str] = set()  # the kinds that are in the log
        self._pinging: asyncio.Task[None] | None = None
        self._closed = False

    async def start(self) -> None:
        """Begin to notice when Redis goes and when it returns."""
        self._pinging = asyncio.create_task(self._ping())

    async def close(self) -> None:
        """Close every connection."""
        self._closed = True
        if self._pinging:
            self._pinging.cancel()
            await asyncio.gather(self._pinging, return_exceptions=True)
        for client in (self.client, self.reader):
            with contextlib.suppress(RedisError, OSError):
                await client.aclose()
        self.up = False

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Turn every failure into RedisAway, and leave Redis in peace for two seconds if it was to blame.

        One that refuses answers other calls: a full one still gives what it has.
        """
        try:
            yield
        except ResponseError as error:
            self._refused(error)
            raise RedisRefused from error
        except (RedisError, OSError, TimeoutError) as error:
            if not _is_crowd(error):
                self._rest(error)
            raise RedisAway from error

    def _rest(self, error: Exception) -> None:
        if self.up:
            logs.event("redis_away", level=logging.WARNING, reason=type(error).__name__)
        self.up = False
        self._failed.set()

    def _refused(self, error: ResponseError) -> None:
        """Tell the log, once for each kind until Redis has been away.

        OutOfMemoryError: a Redis that is ours alone wants `maxmemory-policy allkeys-lru`, which makes room by
        what was used longest ago; with `noeviction`, its default, it takes nothing more when it is full.
        """
        kind = _kind(error)
        if kind not in self._refusals:
            logs.event("redis refuses", level=logging.WARNING, reason=kind)
        self._refusals.add(kind)

    async def _ping(self) -> None:
        """Ask for a sign of life every two seconds, counted anew from a failure."""
        # The library may swallow a cancellation while it sends (bpo-42130), so every loop asks as well.
        while not self._closed:
            self._failed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REST_S):
                    await self._failed.wait()
                continue
            with contextlib.suppress(RedisAway), self.guard():
                async with asyncio.timeout(PATIENCE_S):
                    await self.client.exists(self.prefix)
                if not self.up:
                    logs.event("redis_back")
                    self._refusals.clear()
                self.up = True


def _client(url: SecretStr, connections: int, patience_s: float) -> Redis:
    pool = BlockingConnectionPool.from_url(
        url.get_secret_value(),
        max_connections=connections,
        timeout=_TURN_S,
        socket_timeout=patience_s,
        **_OPTIONS,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)


def _is_crowd(error: Exception) -> bool:
    """Whether all our connections were in use: the pool says so, or a deadline struck while one was awaited.

    On a busy machine several deadlines strike at once, and only the trace tells what was going on.
    """
    if isinstance(error, redis.ConnectionError):
        return isinstance(error.__cause__, TimeoutError)
    if type(error) is not TimeoutError or error.__cause__ is None:
        return False
    went_on = [frame.f_code.co_name for frame, _ in walk_tb(error.__cause__.__traceback__)]
    return "get_connection" in went_on and went_on[-1] == "wait"


def _kind(error: ResponseError) -> str:
    """Name a refusal without what it quotes: the word in capitals that begins it, or the library's type."""
    word = str(error).partition(" ")[0]
    return word if word.isascii() and word.isalpha() and word.isupper() else type(error).__name__


# RESP 2, which needs no greeting, and no names of this client: a connection is ready when it is connected.
_OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": PATIENCE_S,
    "decode_responses": False,
    "protocol": 2,
    "driver_info": None,
}


def _answers(url: SecretStr) -> bool:
    """Ask once. What the library says of a wrong address may quote the password, so it is not passed on."""
    patience = {"socket_connect_timeout": _START_PATIENCE_S, "socket_timeout": _START_PATIENCE_S}
    try:
        client = redis.Redis.from_url(url.get_secret_value(), **{**_OPTIONS, **patience})
    except (ValueError, TypeError):
        raise StartError(
            "MERALION_REDIS_URL is no address of a Redis. Write redis://[name:password@]host:port/0 "
            "(rediss:// with TLS), any of : / @ # ? in the password as %3A %2F %40 %23 %3F, and start again."
        ) from None
    try:
        with client:
            client.ping()
    except (AuthenticationError, ResponseError):
        raise StartError(
            "The Redis that MERALION_REDIS_URL names refuses the name, the password or the database number "
            "in it. Correct the address and start again."
        ) from None
    except (RedisError, OSError) as error:
        logs.event("redis_away", level=logging.WARNING, reason=type(error).__name__)
        return False
    return True
