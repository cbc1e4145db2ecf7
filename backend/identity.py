"""Who asks: the scope that owns files and cached answers, and the id of a request."""

from __future__ import annotations

import hashlib
import re
import secrets

from starlette.requests import HTTPConnection

from backend.errors import InvalidRequest

ANONYMOUS = "anonymous"
_VISITOR = re.compile(r"[A-Za-z0-9_-]{16,64}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def scope_of(request: HTTPConnection) -> str:
    """Return the owner's name: the page's visitor, else the bearer of a key, else nobody in particular.

    Both are kept as hashes, so that neither can be read from memory or a log.
    """
    visitor = request.headers.get("x-meralion-visitor")
    if visitor is not None:
        if not _VISITOR.fullmatch(visitor):
            raise InvalidRequest(
                "visitor_invalid",
                "x-meralion-visitor must be 16 to 64 letters, digits, - or _. Send a random one.",
            )
        return "visitor-" + _digest(visitor)
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and key.strip():
        return "key-" + _digest(key.strip())
    return ANONYMOUS


def request_id(request: HTTPConnection) -> str:
    """Keep the caller's own id when it is a sane one, else make one."""
    given = request.headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else f"req-{secrets.token_hex(8)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
