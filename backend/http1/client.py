"""Sends requests over connections that are kept for the next one."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from backend.http1.body import Body
from backend.http1.connection import Connection
from backend.http1.errors import Stale, Unreachable
from backend.http1.reply import Reply

IDLE_S = 30.0
MAX_IDLE = 64  # connections to one engine that wait for a request


class Origin(NamedTuple):
    """Where a connection leads."""

    is_secure: bool
    host: str
    port: int


class Client:
    """Posts requests. Connections are reused, `MAX_IDLE` of each origin for `IDLE_S`; `close` ends all."""

    def __init__(self, connect_timeout_s: float) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._open: set[Connection] = set()
        self._idle: dict[Origin, list[Connection]] = {}
        self._is_closed = False

    @property
    def connections(self) -> int:
        """How many are open, busy or idle."""
        return len(self._open)

    async def post(self, url: str, headers: Mapping[str, str], body: Body) -> Reply:
        """Send a request, return the reply once its headers came. Raises HttpError.

        The wait for the reply has no limit of its own. Cancelling cuts the connection.
        """
        origin, start = _target(url)
        head = _head(start, headers, body)
        kept = self._kept(origin)
        if kept:
            with contextlib.suppress(Stale):  # closed while nobody used it: send again, on a fresh one
                return await kept.ask(head, body)
        return await (await self._connect(origin)).ask(head, body)

    async def close(self) -> None:
        """Cut all connections and wait until they have ended."""
        self._is_closed = True
        while self._open:
            for connection in list(self._open):
                connection.abort()
            await asyncio.sleep(0)

    def _kept(self, origin: Origin) -> Connection | None:
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()  # the one used last: the others grow old and end
            if connection.is_open:
                return connection
        return None

    async def _connect(self, origin: Origin) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(
                        functools.partial(self._keep, origin), functools.partial(self._lost, origin)
                    ),
                    origin.host,
                    origin.port,
                    ssl=tls() if origin.is_secure else None,
                    server_hostname=origin.host if origin.is_secure else None,
                )
        except (OSError, UnicodeError) as error:  # TimeoutError and what TLS finds wrong are OSErrors
            raise Unreachable(str(error) or "It did not answer in time.") from None
        if self._is_closed:
            connection.abort()
        if connection.is_open:
            self._open.add(connection)
        return connection

    def _keep(self, origin: Origin, connection: Connection) -> None:
        idle = self._idle.setdefault(origin, [])
        if self._is_closed or len(idle) >= MAX_IDLE:
            connection.abort()
        else:
            idle.append(connection)
            connection.rest(IDLE_S)

    def _lost(self, origin: Origin, connection: Connection) -> None:
        self._open.discard(connection)
        idle = self._idle.get(origin, [])
        if connection in idle:
            idle.remove(connection)
        if not idle:
            self._idle.pop(origin, None)


@functools.cache
def tls() -> ssl.SSLContext:
    """Return the one context for https: certificates and names are checked.

    SSL_CERT_FILE and SSL_CERT_DIR name a house's own authorities.
    """
    return ssl.create_default_context()


@functools.lru_cache(256)
def _target(url: str) -> tuple[Origin, str]:
    """Return where a URL leads, and what a request to it begins with."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    is_secure = parts.scheme == "https"
    port = parts.port or (443 if is_secure else 80)
    name = f"[{host}]" if ":" in host else host
    name = f"{name}:{parts.port}" if parts.port else name
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    fields = f"host: {name}\r\naccept: */*\r\naccept-encoding: identity\r\nuser-agent: meralion-demo\r\n"
    return Origin(is_secure, host, port), f"POST {path} HTTP/1.1\r\n{fields}"


def _head(start: str, headers: Mapping[str, str], body: Body) -> bytes:
    """Write what stands before the body. Raises ValueError for a header that would be two."""
    fields = {**headers, "content-type": body.content_type, "content-length": str(body.length)}
    for name, value in fields.items():
        if not (name + value).isprintable():
            raise ValueError(f"The header {name} holds a character that no header may hold.")
        start += f"{name}: {value}\r\n"
    return f"{start}\r\n".encode("latin-1")
