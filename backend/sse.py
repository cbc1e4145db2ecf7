"""Server-sent events, both ways, for streams that are cut anywhere: in a character, a line or an event."""

from __future__ import annotations

import json
from typing import Any

DONE = "[DONE]"
MAX_EVENT_BYTES = 2**20
_OTHER_FIELDS = (b":", b"event:", b"id:", b"retry:")  # the first is a comment
_BOM = b"\xef\xbb\xbf"


class EventTooLong(ValueError):
    """An event did not end within MAX_EVENT_BYTES."""


class Parser:
    """Finds the data of each event in a stream that comes in pieces. LF, CRLF and CR end a line."""

    def __init__(self) -> None:
        self._line: list[bytes] = []  # the pieces of the one that has not ended
        self._line_size = 0  # bytes
        self._data: list[bytes] = []  # of the event that has not ended
        self._data_size = 0
        self._after_cr = False
        self._at_start = True

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the data of the events that end in this piece. Raises EventTooLong.

        Comments and an event's other fields are stepped over. A line that is no field at all is damage, which
        may have hit a word of the answer: it is returned as if it were data, for the reader to judge.
        """
        if self._after_cr and piece:
            self._after_cr = False
            piece = piece.removeprefix(b"\n")
        if b"\r" in piece:
            self._after_cr = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = piece.split(b"\n")
        rest = lines.pop()
        found: list[bytes] = []
        if lines:
            if self._line:
                lines[0] = b"".join(self._line) + lines[0]
                self._line = []
                self._line_size = 0
            found = self._take(lines)
        if rest:
            self._line.append(rest)
            self._line_size += len(rest)
        if self._line_size + self._data_size > MAX_EVENT_BYTES:
            raise EventTooLong
        return found

    def end(self) -> list[bytes]:
        """Return what is left when the stream has ended, also where the blank line after it is missing."""
        return self._take([b"".join(self._line), b""])

    def _take(self, lines: list[bytes]) -> list[bytes]:
        if self._at_start:
            self._at_start = False
            lines[0] = lines[0].removeprefix(_BOM)
        found = []
        for line in lines:
            if not line:
                if self._data:
                    found.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                    self._data = []
                    self._data_size = 0
            elif line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b" ", 5) else line[5:])
                self._data_size += len(line)
            elif not line.startswith(_OTHER_FIELDS):
                found.append(line)
        return found


COMMENT = b": still here\n\n"
"""What readers of a stream step over."""


def event(data: Any) -> bytes:
    """Return one event that carries a JSON value, or DONE."""
    text = data if data == DONE else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode()
