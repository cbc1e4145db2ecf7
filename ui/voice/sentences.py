"""Cuts a text that is still being written into pieces to be spoken: sentences, or parts of long ones."""

from __future__ import annotations

import re

LONGEST = 180  # characters, of which a voice makes about 12 s of sound
FIRST_LONGEST = 70  # the first piece is short where the text allows, for sound to come early
SHORTEST = 8  # characters that are said; alone, fewer sound clipped, so they wait for what follows

_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'“‘])(?:Mrs?|Ms|Mdm|Dr|Prof|St|Jr|Sr|vs|etc|approx|e\.g|i\.e|a\.m|p\.m|No|Blk|Rd|Ave"
    r"|(?:[A-Z]\.)*[A-Z])\.$"
)
_LIST_NUMBER = re.compile(r"^\s*\d{1,2}\.$")
_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]+[”’」』）]*|\n+")
_CLAUSE = re.compile(r"[,;:—](?=\s)|[，、；：]")
_MARKUP = re.compile(r"[*_#`~|<>\[\]{}\\]+|https?://\S+")
_SAID = re.compile(r"\w")


class Sentences:
    """Feed it the text as it comes; `flush` when no more will."""

    def __init__(self) -> None:
        self._rest = ""
        self._any = False

    def feed(self, text: str) -> list[str]:
        """Return the pieces that are whole now."""
        self._rest += text
        found = []
        while piece := self._next():
            found.append(piece)
        return found

    def flush(self) -> list[str]:
        """Return what is left."""
        found = self.feed("\n")
        rest, self._rest = self._rest.strip(), ""
        return [*found, rest] if is_said(rest) else found

    def _next(self) -> str:
        end = self._sentence_end()
        longest = LONGEST if self._any else FIRST_LONGEST
        if end == 0 or len(self._rest[:end].strip()) > longest:
            end = self._clause_end(longest) or (0 if len(self._rest[: end or None]) <= LONGEST else LONGEST)
            end = end or self._sentence_end()
        if end == 0:
            return ""
        piece, self._rest = self._rest[:end].strip(), self._rest[end:]
        if not is_said(piece):
            return self._next()
        self._any = True
        return piece

    def _sentence_end(self) -> int:
        """Return where the first sentence ends; 0 where none is whole yet."""
        for match in _END.finditer(self._rest):
            before = self._rest[: match.end()]
            is_dot = match.group().rstrip("\"'”’)]") == "."
            if is_dot and (_ABBREVIATION.search(before) or _LIST_NUMBER.match(before)):
                continue
            if len(re.sub(r"\W", "", before)) >= _shortest(before):
                return match.end()
        return 0

    def _clause_end(self, longest: int) -> int:
        """Return where to cut what is longer than `longest`: after a clause, or between words if need be."""
        if len(self._rest) <= longest:
            return 0
        head = self._rest[: longest + 1]
        marks = [match.end() for match in _CLAUSE.finditer(head) if match.end() > longest // 4]
        if marks:
            return marks[-1]
        return max(self._rest.rfind(" ", 0, LONGEST + 1), 0) if len(self._rest) > LONGEST else 0


def is_said(text: str) -> bool:
    """Whether there is anything in a text to say."""
    return bool(_SAID.search(speakable(text)))


def speakable(text: str) -> str:
    """Return a text without what is written but not said: marks of lists and emphasis, addresses of pages."""
    return re.sub(r"\s+", " ", _MARKUP.sub("", text)).strip()


def language_of(text: str) -> str:
    """Return the language whose script a text is written in: "zh", "ta", or "en" for any in Latin letters."""
    if re.search(r"[\u3400-\u9fff]", text):
        return "zh"
    return "ta" if re.search(r"[\u0b80-\u0bff]", text) else "en"


def _shortest(text: str) -> int:
    """A Chinese character says as much as several letters."""
    return 2 if language_of(text) == "zh" else SHORTEST
