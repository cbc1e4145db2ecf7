"""What can go wrong with one request, in words: whether asking again may help, and when.

A server's own words are quoted, shortened; a key is never part of a sentence.
"""

from __future__ import annotations

import email.utils
import json
import time
from typing import Any

import httpx

QUOTED = 200  # characters of a server's own words
_LONGEST_WAIT_S = 600.0  # that a server may ask for


class Trouble(Exception):
    """One request came to nothing; the message is a sentence."""

    def __init__(self, words: str, *, again: bool, wait_s: float | None = None, status: int = 0) -> None:
        """`again`: the same request may succeed later, `wait_s` being the server's wish; `status` of HTTP."""
        super().__init__(words)
        self.again = again
        self.wait_s = wait_s
        self.status = status
        self.so_far = ""  # of an answer that did not end
        self.tries = 1


_AGAIN = {408, 409, 425, 429}  # and all from 500 on
_WORDS = {
    400: "The endpoint refused the request",
    401: "The endpoint does not know the key, or wants one",
    403: "The endpoint does not let this key in",
    404: "The endpoint has no such path or model",
    413: "The clip is larger than the endpoint takes",
    422: "The endpoint refused the request",
    429: "The endpoint is busy or its rate limit is reached",
    503: "The endpoint is not ready",
}


def of_status(status: int, headers: httpx.Headers, body: bytes) -> Trouble:
    """An HTTP error."""
    words = f"{_WORDS.get(status, 'The endpoint failed')} (HTTP {status}{_said(body)})."
    again = status in _AGAIN or status >= 500
    return Trouble(words, again=again, wait_s=_retry_after(headers) if again else None, status=status)


def of_connection(error: httpx.HTTPError | httpx.InvalidURL) -> Trouble:
    """No connection, or one that broke."""
    if isinstance(error, httpx.ConnectTimeout):
        return Trouble("The endpoint did not take the connection in time.", again=True)
    if isinstance(error, httpx.ConnectError):
        return Trouble("The endpoint cannot be reached: the connection was refused.", again=True)
    if isinstance(error, httpx.TimeoutException):
        return Trouble("The endpoint was silent for too long.", again=True)
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return Trouble("The endpoint's address is not one.", again=False)
    return Trouble(f"The connection broke ({type(error).__name__}).", again=True)


def of_event(error: Any) -> Trouble:
    """An error that came as an event of the stream, or in a body with status 200."""
    kind = str(error.get("type", "")) if isinstance(error, dict) else ""
    said = _said(json.dumps({"error": error}).encode()).removeprefix(": ")
    refused = "invalid" in kind  # OpenAI's invalid_request_error
    return Trouble(f"The endpoint broke off with an error ({said or 'without words'}).", again=not refused)


def nonsense(what: str, body: bytes = b"") -> Trouble:
    """An answer that is none: HTML, not JSON, nothing in it. A gateway's page may be gone in a moment."""
    start = body[:60].decode("utf-8", "replace").strip()
    return Trouble(f"The endpoint answered nonsense: {what}{f' ({start!r})' if start else ''}.", again=True)


def _said(body: bytes) -> str:
    """A server's own words, in one short line."""
    try:
        found = json.loads(body)
        error = found.get("error", found.get("detail", found.get("message", "")))
        text = error.get("message", "") if isinstance(error, dict) else error
    except (ValueError, AttributeError):
        text = "" if body.lstrip().startswith(b"<") else body[: 4 * QUOTED].decode("utf-8", "replace")
    line = " ".join(str(text).encode("utf-8", "replace").decode().split())
    return f": {line[:QUOTED]}{'…' if len(line) > QUOTED else ''}" if line else ""


def _retry_after(headers: httpx.Headers) -> float | None:
    """Seconds; the header holds them or a date."""
    said = headers.get("retry-after", "").strip()
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(said).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), _LONGEST_WAIT_S) if seconds == seconds else None
