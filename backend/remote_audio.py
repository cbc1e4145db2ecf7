"""Recordings by URL, off unless hosts are listed: fetched from those alone, bounded in bytes, time and hops.

The address is read here and handed on in parts, so that no second reader can understand it otherwise.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin

import httpcore

from backend import logs
from backend.errors import InvalidRequest, TooLarge
from backend.public_address import Address, NotPublic, PublicOnly, Resolve, is_public
from backend.settings import Settings

_PORTS = {"http": 80, "https": 443}
_MAX_URL = 4_096  # characters
_MAX_REDIRECTS = 3
_AT_ONCE = 8
_REDIRECTS = (301, 302, 303, 307, 308)
_URL = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE)
_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(
    r"[0-9]+|0x[0-9a-f]*"
)  # a last label like this makes the whole an IPv4 address, oddly written


def is_url(text: str) -> bool:
    """Whether this names a recording instead of holding it: base64 and data: have no `://`."""
    return "://" in text[:_MAX_URL]


@dataclass(frozen=True)
class Place:
    """Where a URL leads. `host` is as it is connected to, without brackets."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """What goes into the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


class RemoteAudio:
    """Fetches recordings. `allow`, `resolve` and `tls` are others only in tests."""

    def __init__(
        self,
        settings: Settings,
        *,
        allow: Callable[[Address], bool] = is_public,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._hosts = frozenset(settings.audio_url_hosts)
        self._max_bytes = settings.max_audio_bytes
        self._timeout_s = settings.audio_url_timeout_s
        self._connect_timeout_s = settings.connect_timeout_s
        self._sockets = PublicOnly(allow, resolve)
        self._tls = tls
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def fetch(self, url: str, param: str = "messages") -> bytes:
        """Return the bytes at a URL. Raises InvalidRequest and its kin, naming `param`."""
        if not self._hosts:
            raise _refused(
                "Recordings are not fetched by URL here. Upload the file to /v1/files and refer to it by its "
                "id, or send it as base64.",
                param,
                code="audio_url_off",
            )
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout_s), self._places:
                data = await self._follow(url, param)
        except TimeoutError:
            raise _failed("it took too long", param) from None
        logs.event("audio fetched", bytes=len(data), ms=round(1_000 * (time.perf_counter() - started), 1))
        return data

    def close(self) -> None:
        """Let go of the threads that look names up."""
        self._sockets.close()

    async def _follow(self, url: str, param: str) -> bytes:
        for _ in range(_MAX_REDIRECTS + 1):
            place = self._place(url, param)
            try:
                found = await self._get(place, param)
            except NotPublic:
                raise _refused("That host is not at a public address.", param) from None
            except httpcore.TimeoutException:
                raise _failed("it took too long", param) from None
            except (httpcore.NetworkError, httpcore.ProtocolError):
                raise _failed("the host cannot be reached, or does not speak HTTP", param) from None
            if isinstance(found, bytes):
                return found
            url = urljoin(url, found) if _is_plain(found) else found
        raise _failed(f"it was redirected more than {_MAX_REDIRECTS} times", param)

    async def _get(self, place: Place, param: str) -> bytes | str:
        """Return the body, or where it is said to be. A connection of its own, closed at the end."""
        if self._tls is None and place.scheme == "https":
            self._tls = httpcore.default_ssl_context()
        pool = httpcore.AsyncConnectionPool(
            self._tls if place.scheme == "https" else None, max_connections=1, network_backend=self._sockets
        )
        where = httpcore.URL(
            scheme=place.scheme.encode(),
            host=place.host.encode(),
            port=place.port,
            target=place.target.encode(),
        )
        headers: dict[bytes | str, bytes | str] = {
            "Host": place.authority,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        patience = {"timeout": {"connect": self._connect_timeout_s}}
        async with pool, pool.stream("GET", where, headers=headers, extensions=patience) as response:
            said = {name.lower(): value.decode("latin-1") for name, value in response.headers}
            if response.status in _REDIRECTS and b"location" in said:
                return said[b"location"]
            if response.status != 200:
                raise _failed(f"the host answered with {response.status}", param)
            if said.get(b"content-encoding", "identity") != "identity":
                raise _failed("the host sent it compressed", param)
            data = bytearray()
            if int(said.get(b"content-length", "0")) <= self._max_bytes:
                async for chunk in response.aiter_stream():
                    data += chunk
                    if len(data) > self._max_bytes:
                        break
                else:
                    return bytes(data)
        raise TooLarge(
            "audio_too_large",
            f"The recording is larger than {self._max_bytes / 2**20:g} MB. Send a shorter clip.",
            param=param,
        )

    def _place(self, url: str, param: str) -> Place:
        """Read a URL. Raises InvalidRequest unless it is a plain one of a host that is listed."""
        parts = _URL.fullmatch(url) if len(url) <= _MAX_URL and _is_plain(url) else None
        scheme = parts[1].lower() if parts else ""
        if parts is None or scheme not in _PORTS:
            raise _refused("Only http:// and https:// addresses, plainly written, are fetched.", param)
        host, port = _host_and_port(parts[2].lower())
        if host is None:
            raise _refused("The address must name a host plainly, without a user or a password.", param)
        place = Place(scheme, host, _PORTS[scheme] if port is None else port, _target(parts[3]))
        bare = f"[{host}]" if ":" in host else host
        is_usual = place.port == _PORTS[scheme]
        if f"{bare}:{place.port}" not in self._hosts and not (is_usual and {bare, "*"} & self._hosts):
            raise _refused("Recordings are not fetched from that host. Upload the file to /v1/files.", param)
        return place


def _is_plain(url: str) -> bool:
    return url.isascii() and url.isprintable() and " " not in url and "\\" not in url


def _target(rest: str) -> str:
    return rest if rest.startswith("/") else "/" + rest


def _host_and_port(authority: str) -> tuple[str | None, int | None]:
    """Split and check; the host is None where it is not one way of writing one host."""
    bracketed = re.fullmatch(r"\[([0-9a-f:.]+)\](?::([0-9]{1,5}))?", authority)
    named = bracketed or re.fullmatch(r"([^:@\[\]]+)(?::([0-9]{1,5}))?", authority)
    if named is None:
        return None, None
    host, port = named[1], int(named[2]) if named[2] else None
    try:
        if bracketed:
            host = str(ipaddress.IPv6Address(host))
        elif _NUMBER.fullmatch(host.rpartition(".")[2]):
            host = str(ipaddress.IPv4Address(host))
        elif not _NAME.fullmatch(host):
            return None, None
    except ValueError:
        return None, None
    return host, port


def _refused(sentence: str, param: str, code: str = "audio_url_refused") -> InvalidRequest:
    return InvalidRequest(code, sentence, param=param)


def _failed(why: str, param: str) -> InvalidRequest:
    return InvalidRequest(
        "audio_url_failed",
        f"The recording could not be fetched: {why}. Check the address, or upload the file to /v1/files.",
        param=param,
    )
