"""Looks up the names whose addresses are instances, again and again, and says which addresses each has now.

The system's own resolver is asked (hosts file, DNS, whatever it is set to), for A and AAAA. A name that has
no address for a while, or cannot be looked up, keeps those it had: a fault of DNS is none of the engines.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import math
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass

from backend import logs

MOST = 64  # addresses of one name that are used
_FIRST_PAUSE_S = 1.0  # between lookups while a name has never had an address
_TIMEOUT_S = 5.0  # after which a lookup counts as failed; it is let go on, and no other is begun beside it


@dataclass
class _Name:
    """What is known of a name."""

    addresses: tuple[str, ...] = ()
    had_any_at: float = -math.inf
    trouble: str = ""


class Discovery:
    """Follows names; `changed` is called when one has other addresses than before."""

    def __init__(
        self,
        interval_s: float,
        keep_s: float,
        changed: Callable[[], None],
        *,
        timeout_s: float = _TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`interval_s` is the time between lookups, `keep_s` how long addresses outlive the last good one."""
        self._interval_s = interval_s
        self._keep_s = keep_s
        self._changed = changed
        self._timeout_s = timeout_s
        self._clock = clock
        self._names: dict[str, _Name] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._running = False

    def addresses(self, host: str) -> tuple[str, ...]:
        """Return the addresses of a name, in order; none before the first lookup."""
        name = self._names.get(host)
        return name.addresses if name else ()

    def follow(self, hosts: Collection[str]) -> None:
        """Look up these names, and no others any more."""
        for host in self._names.keys() - set(hosts):
            del self._names[host]
            task = self._tasks.pop(host, None)
            if task:
                task.cancel()
        for host in hosts:
            self._names.setdefault(host, _Name())
            if self._running and host not in self._tasks:
                self._tasks[host] = asyncio.create_task(self._look(host))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look the names up until left."""
        self._running = True
        self.follow(list(self._names))
        try:
            yield
        finally:
            self._running = False
            tasks = list(self._tasks.values())
            self._tasks.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, host: str) -> None:
        name = self._names[host]
        asked: asyncio.Future[tuple[str, ...]] | None = None
        while True:
            asked = asked or _asked(host)
            await asyncio.wait({asked}, timeout=self._timeout_s)
            try:
                if asked.done():
                    found, trouble, asked = *_outcome(asked), None
                else:
                    found, trouble = (), "The lookup takes too long."
                self._note(host, name, found, trouble)
            except Exception as error:
                logs.event("internal error", level=logging.ERROR, instance=host, reason=logs.where(error))
            known = math.isfinite(name.had_any_at)
            await asyncio.sleep(self._interval_s if known else min(self._interval_s, _FIRST_PAUSE_S))

    def _note(self, host: str, name: _Name, found: tuple[str, ...], trouble: str) -> None:
        """Take in what a lookup brought; tell of what is new, once."""
        now = self._clock()
        if trouble != name.trouble:
            name.trouble = trouble
            if trouble:
                logs.event("lookup failed", level=logging.WARNING, instance=host, reason=trouble)
        if found:
            name.had_any_at = now
            if len(found) > MOST:
                reason = f"A name may have {MOST} addresses; the rest are not used."
                logs.event(
                    "lookup cut", level=logging.WARNING, instance=host, count=len(found), reason=reason
                )
            found = found[:MOST]
        elif now - name.had_any_at < self._keep_s:
            found = name.addresses
        if found != name.addresses:
            name.addresses = found
            logs.event("addresses", instance=host, count=len(found))
            self._changed()


def _outcome(asked: asyncio.Future[tuple[str, ...]]) -> tuple[tuple[str, ...], str]:
    """Return what a lookup found, and why nothing."""
    try:
        return asked.result(), ""
    except (OSError, UnicodeError) as error:  # no such name, no server, no name at all
        return (), error.strerror or type(error).__name__ if isinstance(error, OSError) else "It is no name."


def _asked(host: str) -> asyncio.Future[tuple[str, ...]]:
    """Look a name up in a thread that nobody waits for at the end: a resolver may take half a minute."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[tuple[str, ...]] = loop.create_future()

    def tell(found: tuple[str, ...], error: Exception | None) -> None:
        if future.done():
            return
        if error:
            future.set_exception(error)
        else:
            future.set_result(found)

    def look() -> None:
        found: tuple[str, ...] = ()
        failed: Exception | None = None
        try:
            found = resolve(host)
        except Exception as error:
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, found, failed)

    threading.Thread(target=look, daemon=True, name="lookup").start()
    return future


def resolve(host: str) -> tuple[str, ...]:
    """Return every address of a name, each once, in order. Raises OSError; UnicodeError for no name."""
    told = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    met = {_address(str(sockaddr[0])) for *_, sockaddr in told}
    usable = (one for one in met if not one.is_unspecified and not one.is_multicast and not one.is_link_local)
    return tuple(str(one) for one in sorted(usable, key=lambda one: (one.version, int(one))))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address
