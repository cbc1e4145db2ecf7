"""What a request carries."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence

Pieces = Sequence[bytes] | Callable[[], AsyncGenerator[bytes]]


class Body:
    """Bytes of a known kind and length, in pieces: ready ones, or such as are made while they are sent.

    It may be sent more than once. `length` (bytes) is counted where the pieces are ready.
    """

    def __init__(self, content_type: str, pieces: Pieces, length: int | None = None) -> None:
        if length is None:
            assert not callable(pieces)
            length = sum(len(piece) for piece in pieces)
        self.content_type = content_type
        self.pieces = pieces
        self.length = length
