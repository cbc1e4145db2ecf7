"""Who asks: the owner of files and answers, whom a limit counts, and the id of a request."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from starlette.requests import HTTPConnection

from backend.errors import InvalidRequest, Unauthorized
from backend.keys import Keys, weakness
from backend.settings import Settings

ANONYMOUS = "anonymous-"  # how owners begin who are told apart by address only: many people may be behind one
VISITOR_HEADER = "x-meralion-visitor"
_SKEW_S = 30  # how far the clocks of pages and controller may be apart
_LONGEST_ADDRESS = 64  # characters
_MAX_HOPS = 16  # proxies in front of us, read from the nearest
_VISITOR = re.compile(r"[A-Za-z0-9_-]{16,64}")
_TOKEN = re.compile(r"(v1\.([A-Za-z0-9_-]{16,64})\.([0-9]{1,12}))\.([0-9a-f]{64})", re.ASCII)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Caller:
    """One who asks. Names are hashes, so that nothing can be read from memory, a store or a log.

    `owner` is whose files and answers these are. `counted_as` is whom a limit counts: the same where the
    caller has proven who it is (by a signed token or a key that we know), else the address it asks from.
    """

    owner: str
    kind: Literal["visitor", "key", "anonymous"]
    signed: bool
    counted_as: str


class Callers:
    """Tells callers apart: the pages' visitor, the bearer of a key, or else an address."""

    def __init__(self, settings: Settings, keys: Keys, clock: Callable[[], float] = time.time) -> None:
        self._secret = settings.visitor_secret.get_secret_value().encode() if settings.visitor_secret else b""
        self._proxies = tuple(ipaddress.ip_network(one) for one in settings.trusted_proxies)
        self._keys = keys
        self._clock = clock

    def identify(self, request: HTTPConnection) -> Caller:
        """Say who asks. Raises Unauthorized, or InvalidRequest for a visitor's name that is none."""
        address = "address-" + self._address(request)
        key = bearer(request)
        known = self._keys.required and key is not None and self._keys.admits(key)
        counted_as = "key-" + _digest(key) if key is not None and known else address
        visitor = request.headers.get(VISITOR_HEADER)
        if visitor is not None and self._secret:
            owner = "visitor-" + _digest(self._signed(visitor))
            return Caller(owner, "visitor", True, owner)
        if self._keys.required and not known:
            raise _not_admitted(key)
        if visitor is not None:
            if not _VISITOR.fullmatch(visitor):
                raise InvalidRequest(
                    "visitor_invalid",
                    f"{VISITOR_HEADER} must be 16 to 64 letters, digits, - or _. Send a random one.",
                )
            return Caller("visitor-" + _digest(visitor), "visitor", False, counted_as)
        if key is not None and not weakness(key):  # "none" and its like are nobody in particular
            return Caller("key-" + _digest(key), "key", False, counted_as)
        return Caller(f"{ANONYMOUS}{address}", "anonymous", False, counted_as)

    def _signed(self, token: str) -> str:
        """Return the visitor's id in a signed token. Raises Unauthorized."""
        parts = _TOKEN.fullmatch(token)
        right = hmac.new(self._secret, parts[1].encode(), hashlib.sha256).hexdigest() if parts else ""
        if parts is None or not hmac.compare_digest(parts[4], right):
            raise Unauthorized(
                "visitor_invalid",
                f"{VISITOR_HEADER} is not signed as this controller wants it. Give the pages the same "
                "MERALION_VISITOR_SECRET as the controller, then load the page again.",
            )
        if int(parts[3]) + _SKEW_S < self._clock():
            raise Unauthorized("visitor_expired", "This visit has expired. Load the page again.")
        return parts[2]

    def _address(self, request: HTTPConnection) -> str:
        """Name the address that the request comes from, through the proxies that are trusted.

        Of an IPv6 address the first half counts: the other half is the caller's to choose. The hash is keyed
        with the secret where there is one, since there are few enough addresses to try them all.
        """
        address = _parsed(request.client.host) if request.client else None
        hops = ",".join(request.headers.getlist("x-forwarded-for")).split(",") if self._proxies else []
        for hop in reversed(hops[-_MAX_HOPS:]):
            if address is None or not any(address in network for network in self._proxies):
                break
            further = _parsed(hop.strip())
            if further is None:
                break
            address = further
        return _home(self._secret, address)


def caller(request: HTTPConnection) -> Caller:
    """Return who asks, as it was found out when the request came in."""
    found: Caller = request.state.caller
    return found


def request_id(request: HTTPConnection) -> str:
    """Keep the caller's own id when it is a sane one, else make one."""
    given = request.headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else new_request_id()


def new_request_id() -> str:
    """Make one."""
    return f"req-{secrets.token_hex(8)}"


def bearer(request: HTTPConnection) -> str | None:
    """Return the key that the caller shows, if any."""
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" and key.strip() else None


def _not_admitted(key: str | None) -> Unauthorized:
    if key is None:
        return Unauthorized(
            "missing_api_key", "This controller wants a key. Send it in the header Authorization: Bearer KEY."
        )
    return Unauthorized("invalid_api_key", "This key is not known here. Check it, or ask the host for one.")


@lru_cache(4_096)
def _home(secret: bytes, address: Address | None) -> str:
    home = ipaddress.ip_network((address, 64), strict=False) if address and address.version == 6 else address
    return hmac.new(secret, str(home).encode(), hashlib.sha256).hexdigest()


def _parsed(text: str) -> Address | None:
    """Read an address, which some proxies write with a port."""
    return _parsed_again(text) if len(text) <= _LONGEST_ADDRESS else None


@lru_cache(4_096)
def _parsed_again(text: str) -> Address | None:
    bare = text[1:].partition("]")[0] if text.startswith("[") else text
    if bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    if address.version == 6 and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
