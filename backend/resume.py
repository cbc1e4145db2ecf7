"""What has been sent of an answer, and what of another run is new.

A second run of the same request gives the same text in other pieces: words may come two at a time, a kept
transcript all at once. So channels are compared, not items: what was heard, what was answered, and bytes.
Each is in order by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, Protocol, TypeVar

from backend.answer import Done, Head, Heard, Token, Usage
from backend.errors import Interrupted, UpstreamFailed
from backend.items import Items

Item = TypeVar("Item")
Text = TypeVar("Text", str, bytes)


class Diverged(Interrupted):
    """A second run of a request did not repeat what the first had sent."""

    def __init__(self) -> None:
        UpstreamFailed.__init__(
            self,
            "answer_diverged",
            "The model stopped in the middle of its answer, and another began a different one. "
            "What came so far is kept. Asking again is safe.",
            again=False,
        )


class Sent:
    """All items that an asker has got, in order."""

    def __init__(self, items: Iterable[Any] = ()) -> None:
        self._items = Items(items)

    def __len__(self) -> int:
        return len(self._items)

    def add(self, items: Iterable[Any]) -> None:
        """Take note of what is handed on."""
        self._items.extend(items)

    @property
    def heard(self) -> str:
        """The transcript so far."""
        return "".join(item.text for item in self._items if isinstance(item, Heard))

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(item.text for item in self._items if isinstance(item, Token))

    @property
    def tokens(self) -> int:
        """In how many pieces the answer came; an engine sends a token as a piece."""
        return sum(isinstance(item, Token) for item in self._items)

    @property
    def data(self) -> bytes:
        """The bytes so far."""
        return b"".join(item for item in self._items if isinstance(item, bytes))

    @property
    def head(self) -> Head | None:
        """The beginning of a reply that is passed through."""
        return next((item for item in self._items if isinstance(item, Head)), None)


class News(Protocol[Item]):
    """Tells what of a run's items an asker has not got."""

    @property
    def is_level(self) -> bool:
        """Whether the run is at the end of what was sent: what comes next is new."""
        ...

    def of(self, items: list[Item]) -> list[Item]:
        """Return what is new. Raises Diverged."""
        ...

    def end(self) -> None:
        """Take note that the run has ended. Raises Diverged."""
        ...


class First:
    """A run before which nothing was sent: all is new."""

    is_level = True

    def of(self, items: list[Any]) -> list[Any]:
        """Return everything."""
        return items

    def end(self) -> None:
        """Any end is in order."""


class Again:
    """A run from the beginning: what was sent is compared and left out, in the middle of a piece as well."""

    def __init__(self, sent: Sent) -> None:
        self._head = sent.head
        self._heard, self._text, self._data = _Channel(sent.heard), _Channel(sent.text), _Channel(sent.data)

    def of(self, items: list[Any]) -> list[Any]:
        """Return what goes beyond what was sent. Raises Diverged when the run tells something else."""
        new: list[Any] = []
        for item in items:
            if isinstance(item, bytes):
                if beyond := self._data.beyond(item):
                    new.append(beyond)
            elif isinstance(item, Heard | Token):
                channel = self._heard if isinstance(item, Heard) else self._text
                if text := channel.beyond(item.text):
                    new.append(type(item)(text))
            elif isinstance(item, Head):
                if self._head is None:
                    new.append(item)
                elif item != self._head:
                    raise Diverged
            else:
                self.end()
                new.append(item)
        return new

    def end(self) -> None:
        """Raise Diverged when the run was shorter than what was sent."""
        if not self.is_level:
            raise Diverged

    @property
    def is_level(self) -> bool:
        """Whether all that was sent has been repeated."""
        return self._heard.is_passed and self._text.is_passed and self._data.is_passed


class Onward:
    """A run that goes on from `begun`, text that was sent; what it hears again is left out.

    An engine's template may trim the begun text, so it gets it without the blanks at its end, and those are
    left out where the run begins with them.
    """

    is_level = True

    def __init__(self, sent: Sent) -> None:
        text = sent.text
        self.begun = text.rstrip()
        self._blanks = text[len(self.begun) :]
        self._has_heard = bool(sent.heard)
        self._sent = sent.tokens

    def of(self, items: list[Any]) -> list[Any]:
        """Return what goes beyond what was sent."""
        new: list[Any] = []
        for item in items:
            if isinstance(item, Token):
                if text := self._without_blanks(item.text):
                    new.append(Token(text))
            elif isinstance(item, Done):
                new.append(self._whole(item))
            elif not (isinstance(item, Heard) and self._has_heard):
                new.append(item)
        return new

    def end(self) -> None:
        """Any end is in order."""

    def _without_blanks(self, text: str) -> str:
        while self._blanks and text and text[0] == self._blanks[0]:
            text, self._blanks = text[1:], self._blanks[1:]
        if text:
            self._blanks = ""
        return text

    def _whole(self, done: Done) -> Done:
        """The end of the whole answer: its cost includes what was begun elsewhere."""
        if done.usage is None:
            return done
        usage = Usage(
            max(done.usage.prompt_tokens - self._sent, 0), done.usage.completion_tokens + self._sent
        )
        return Done(done.finish_reason, usage, done.engine_timing)


class _Channel(Generic[Text]):
    """What was sent of one kind, and how far a second run has repeated it."""

    def __init__(self, sent: Text) -> None:
        self._sent: Text = sent
        self._at = 0

    @property
    def is_passed(self) -> bool:
        return self._at == len(self._sent)

    def beyond(self, piece: Text) -> Text:
        """Return what of a piece is new. Raises Diverged."""
        known = self._sent[self._at : self._at + len(piece)]
        if not piece.startswith(known):
            raise Diverged
        self._at += len(known)
        return piece[len(known) :]
