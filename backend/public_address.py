"""Connections to public addresses only: a name is looked up once, judged, and connected to as judged."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpcore

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]

_MAX_ADDRESSES = 4  # of one name, tried in turn
_LOOKUPS = 4  # at once; a name server that hangs must not hold up the threads of others
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(one)
    for one in (
        *("192.0.0.0/24", "192.88.99.0/24"),  # special uses, which Python takes for public
        "168.63.129.16/32",  # the host under a virtual machine in Azure
        *("2001::/23", "2001:db8::/32", "3fff::/20"),  # Teredo and other special uses, documentation
    )
)
_GLOBAL_V6 = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class NotPublic(Exception):
    """A name has an address that is not a public one."""


def is_public(address: Address) -> bool:
    """Whether anybody on the internet may be reached at this address; one within another is judged too."""
    if any(address in network for network in _NOT_PUBLIC):
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast and not address.is_reserved
    if address in _NAT64:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if address.sixtofour is not None:
        return is_public(address.sixtofour)
    return address in _GLOBAL_V6 and address.is_global


class PublicOnly(httpcore.AsyncNetworkBackend):
    """Opens connections for httpcore. `allow` and `resolve` are others only in tests."""

    def __init__(self, allow: Callable[[Address], bool] = is_public, resolve: Resolve | None = None) -> None:
        self._allow = allow
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="lookup")
        self._resolve = resolve or self._look_up
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own name
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to a name's address. Raises NotPublic, httpcore.ConnectError and its kin."""
        try:
            addresses = [ipaddress.ip_address(one) for one in await self._resolve(host, port)]
        except (OSError, UnicodeError, ValueError) as error:
            raise httpcore.ConnectError("no such host") from error
        if not all(self._allow(address) for address in addresses):
            raise NotPublic
        failed: Exception = httpcore.ConnectError("no address")
        for address in addresses[:_MAX_ADDRESSES]:
            try:
                return await self._sockets.connect_tcp(str(address), port, timeout)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: no address on the internet is a file here."""
        raise NotPublic

    async def sleep(self, seconds: float) -> None:
        """Wait, between httpcore's own retries."""
        await asyncio.sleep(seconds)

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _look_up(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _addresses, host, port)
        return list(dict.fromkeys(found))


def _addresses(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
