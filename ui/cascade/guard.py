"""The connection to a text model that is not ours: what goes out and what comes in are bounded here.

Only the headers that a request needs are sent, nothing of the host's environment. What comes back is counted
while it is read, taken as it is, and not followed elsewhere. A stranger's address must not lead to the
services that a cloud keeps at link-local addresses.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator, Mapping
from functools import cache
from ipaddress import ip_address
from typing import Any

import certifi
import httpx2

MAX_REPLY_BYTES = 2 * 2**20  # a long answer, word by word, with everything around each word
_SENT = frozenset(
    ("host", "connection", "content-type", "content-length", "accept", "authorization", "x-meralion-visitor")
)


class Refused(Exception):
    """A reply that is not taken; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Guard(httpx2.HTTPTransport):
    """One endpoint's connections. `hang_up` from any thread ends them at once."""

    def __init__(self, any_peer: bool) -> None:
        """Connect where a request says; `any_peer` is for addresses that the host chose."""
        super().__init__(verify=_trusted(), trust_env=False)
        self._any_peer = any_peer
        self._socket: socket.socket | None = None
        self._closed = False

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request. Raises Refused, and what httpx2 raises."""
        sent = {name: value for name, value in request.headers.items() if name.lower() in _SENT}
        sent |= {"accept-encoding": "identity", "user-agent": "meralion-demo"}
        extensions = {**request.extensions, "trace": self._trace}
        response = super().handle_request(
            httpx2.Request(
                request.method, request.url, headers=sent, stream=request.stream, extensions=extensions
            )
        )
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            response.close()
            raise Refused("strange")  # unpacked, a small reply may be as large as it likes
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Counted(response.stream)
        return response

    def hang_up(self) -> None:
        """End what is on its way."""
        self._closed = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _trace(self, name: str, info: Mapping[str, Any]) -> None:
        if name not in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            return
        stream = info["return_value"]
        self._socket = stream.get_extra_info("socket")
        if self._closed:
            self.hang_up()
        if not self._any_peer:
            # Judged by where the connection went, not by the name: a name may change between two look-ups.
            peer = ip_address(str(stream.get_extra_info("server_addr")[0]).partition("%")[0])
            peer = getattr(peer, "ipv4_mapped", None) or peer
            if peer.is_link_local or peer.is_multicast or peer.is_unspecified:
                raise Refused("address")


class _Counted(httpx2.SyncByteStream):
    """A reply's bytes, up to a bound."""

    def __init__(self, stream: httpx2.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        left = MAX_REPLY_BYTES
        for piece in self._stream:
            left -= len(piece)
            if left < 0:
                raise Refused("too_long")
            yield piece

    def close(self) -> None:
        self._stream.close()


@cache
def _trusted() -> ssl.SSLContext:
    """Return whom to trust: the system's authorities, and the usual ones where a system has none."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
