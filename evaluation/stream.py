"""An answer as it comes: server-sent events of a chat completion, bounded while they are read."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import Any

from evaluation.trouble import Trouble, nonsense, of_event

LONGEST_ANSWER = 50_000  # characters; no task here has one a tenth as long
_LONGEST_LINE = 2**20  # bytes


def in_unicode(text: str) -> str:
    """Put halves of a character that came apart together; replace a half alone, which no file takes."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@dataclass
class Reply:
    """What came of one request."""

    text: str = ""
    finish: str = ""
    tokens: int = 0
    heard: str = ""  # our own engine's transcript
    cache: str = ""
    first_token_s: float = 0.0
    total_s: float = 0.0
    tries: int = 1


@dataclass
class Stream:
    """Puts a reply together, a piece of the body at a time."""

    _rest: bytes = b""
    _texts: list[str] = field(default_factory=list)
    _heard: list[str] = field(default_factory=list)
    _length: int = 0
    _finish: str = ""
    _tokens: int = 0
    _chose: bool = False  # there was a choice, though perhaps an empty one
    ended: bool = False  # [DONE] came

    @property
    def text(self) -> str:
        """The answer as far as it came."""
        return in_unicode("".join(self._texts))

    def feed(self, piece: bytes) -> None:
        """Read a piece. Raises Trouble."""
        lines = (self._rest + piece).replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _LONGEST_LINE:
            raise nonsense("an event of over a megabyte", self._rest)
        for line in lines:
            self._line(line)

    def reply(self) -> Reply:
        """The whole answer, once the body has ended. Raises Trouble."""
        with contextlib.suppress(Trouble):  # half an event is no news where the end is missing as well
            self._line(self._rest)
        if not (self.ended or self._finish):
            cut = Trouble("The answer was cut off before its end.", again=True)
            raise cut if self._chose else nonsense("a stream without an answer", self._rest)
        if not self._chose:
            raise nonsense("no choices")
        return Reply(self.text, self._finish or "unsaid", self._tokens, in_unicode(" ".join(self._heard)))

    def whole(self, body: bytes) -> None:
        """Read an answer that came in one piece, from an endpoint that does not stream. Raises Trouble."""
        try:
            found = json.loads(body)
        except ValueError:
            raise nonsense("what is not JSON", body) from None
        self._event(found)
        self.ended = True

    def _line(self, line: bytes) -> None:
        if not line.startswith(b"data:"):
            if line.lstrip()[:1] in (b"<", b"{"):  # a gateway's page, or an error, instead of events
                raise nonsense("no event of a stream", line)
            return
        data = line.removeprefix(b"data:").strip()
        if data == b"[DONE]":
            self.ended = True
            return
        try:
            event = json.loads(data)
        except ValueError:
            raise nonsense("an event that is not JSON", data) from None
        self._event(event)

    def _event(self, event: Any) -> None:
        if not isinstance(event, dict):
            raise nonsense("an event that is no object")
        if event.get("error"):
            raise of_event(event["error"])
        usage, ours = event.get("usage"), event.get("meralion")
        if isinstance(usage, dict) and isinstance(usage.get("completion_tokens"), int):
            self._tokens = usage["completion_tokens"]
        if isinstance(ours, dict) and isinstance(ours.get("heard"), str):
            self._heard.append(ours["heard"].strip())
        choices = event.get("choices") or []
        if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
            raise nonsense("choices that are none")
        for choice in choices[:1]:
            self._choice(choice)

    def _choice(self, choice: dict[str, Any]) -> None:
        self._chose = True
        said = choice.get("delta") or choice.get("message") or {}
        text = said.get("content") if isinstance(said, dict) else None
        if text is not None and not isinstance(text, str):
            raise nonsense("an answer that is no text")
        if text:
            self._texts.append(text[: LONGEST_ANSWER - self._length])
            self._length += len(text)
        self._finish = str(choice.get("finish_reason") or self._finish)
        if self._length > LONGEST_ANSWER:
            endless = Trouble(
                f"The answer was longer than {LONGEST_ANSWER:,} characters and was cut there.", again=False
            )
            endless.so_far = self.text
            raise endless
