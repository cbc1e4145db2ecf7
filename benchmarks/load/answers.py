"""The answers of the mock engine: their text follows from the question, so that anyone can check them.

A question holds a tag such as `tag:q7:20:5`: the answer to q7 has 20 tokens, 5 ms apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TAG = re.compile(rb"tag:([a-z0-9]{1,40}):(\d{1,6}):(\d{1,6})")


@dataclass(frozen=True)
class Tag:
    """What a question asks of the mock engine."""

    name: str
    tokens: int = 20
    gap_ms: int = 0

    @classmethod
    def found_in(cls, body: bytes) -> Tag | None:
        """Return the last one in a body."""
        found = _TAG.findall(body)
        return cls(found[-1][0].decode(), int(found[-1][1]), int(found[-1][2])) if found else None

    def __str__(self) -> str:
        return f"tag:{self.name}:{self.tokens}:{self.gap_ms}"

    def token(self, number: int, odd: bool = False) -> str:
        """Give one token: it names itself and its place. An odd one holds letters of two and three bytes."""
        return f"{self.name}.{number}{'é字' if odd else ''} "

    def text(self, odd: bool = False) -> str:
        """Give the whole answer."""
        return "".join(self.token(number, odd) for number in range(self.tokens))
