"""A request as its bytes, and what may be asked of the answer to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from benchmarks.fuzzing.corpus import CANARY, FILE_ID

VISITORS = 7  # who ask by turns; a file is had by who uploaded it
Header = tuple[bytes, bytes]
# right: HTTP as it must be, so an answer of ours is due.
# odd: HTTP that a server may refuse before we see it, but it must answer.
# broken: what is no HTTP, or stops in the middle; the connection may be closed without an answer.
Framing = Literal["right", "odd", "broken"]

JSON = (b"Content-Type", b"application/json")
CHAT = b"/v1/chat/completions"
SPEECH = b"/v1/audio/speech"
FILES = b"/v1/files"
LISTENS = (b"/v1/audio/transcriptions", b"/v1/audio/translations")


@dataclass(frozen=True)
class Message:
    """One request: its number in the run, its kind, and everything that is sent."""

    number: int
    kind: str
    raw: bytes
    framing: Framing = "right"

    @property
    def name(self) -> bytes:
        """The id that it carries, and that must come back."""
        return name_of(self.number)

    @property
    def is_head(self) -> bool:
        """Whether the answer has no body, whatever it says."""
        return self.raw.startswith(b"HEAD ")

    def filled(self, file_id: str, port: int) -> bytes:
        """Return the bytes with what is known only in a run: a file that is there, a port that is ours."""
        whole = self.raw.replace(FILE_ID.encode(), file_id.encode()) if file_id else self.raw
        return whole.replace(CANARY.encode(), b":%05d" % port)


def name_of(number: int) -> bytes:
    """The id of a request."""
    return b"fuzz-%d" % number


def head(method: bytes, target: bytes, headers: Iterable[Header]) -> bytes:
    """Write what stands before a body."""
    lines = [b"%s %s HTTP/1.1" % (method, target), *(b"%s: %s" % header for header in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def usual(number: int, *more: Header) -> list[Header]:
    """The headers of any request: from one of some visitors, under its own id."""
    visitor = b"fuzz-visitor-%04d" % (number % VISITORS)
    return [
        (b"Host", b"127.0.0.1"),
        (b"X-Request-Id", name_of(number)),
        (b"X-Meralion-Visitor", visitor),
        *more,
    ]


def post(target: bytes, body: bytes, headers: list[Header]) -> bytes:
    """Write a whole POST."""
    return head(b"POST", target, [*headers, (b"Content-Length", b"%d" % len(body))]) + body


def get(target: bytes, headers: list[Header], method: bytes = b"GET") -> bytes:
    """Write a whole request without a body."""
    return head(method, target, headers)
