"""What the Model Picker remembers of one visitor: who is compared, on what, and what they answered."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from ui.answer import Answer
from ui.client import AnswerStream, Client
from ui.clip import Clip, ensure_stored
from ui.connection import wait_until_up
from ui.conversation import messages
from ui.picker.agreement import Agreement, Piece, WordErrors, agreement, word_errors
from ui.session import Part
from ui.settings import settings
from ui.wire import ClientError, ModelCard

MOST = 4  # answers beside one another
FREELY = "~freely"  # ends the id of a contender that may choose its words
FREE_TEMPERATURE = 1.0
NOT_UP = (
    "picked_not_up"  # the code of a model that is down; its message is the reason, as the controller gives it
)
# A question that asks for the words themselves, so that answers can be held against one another.
TRANSCRIPT = re.compile(
    r"transcri|write (it |this )?down|verbatim|word for word|转写|听写|逐字|transkripsi|tuliskan|எழுத்தாக்க",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Contender:
    """A model and how it chooses its words: the likeliest ones, or `freely`."""

    model: str
    freely: bool = False

    @property
    def id(self) -> str:
        """What it is called in keys and links."""
        return self.model + FREELY if self.freely else self.model


def contender(identifier: str) -> Contender:
    """Read a contender's id."""
    return Contender(identifier.removesuffix(FREELY), identifier.endswith(FREELY))


@dataclass(frozen=True)
class Column:
    """One contender's answer."""

    contender: Contender
    answer: Answer


@dataclass
class Comparison:
    """One question about one clip, answered by several."""

    prompt: str
    clip_title: str
    clip_seconds: float
    truth: str  # what is said in the clip, where that is known
    columns: tuple[Column, ...]
    by_words: bool  # whether answers are held against one another word by word
    _laid: Agreement | None = None
    _errors: tuple[WordErrors | None, ...] | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return all(column.answer.progress.ended for column in self.columns)

    @property
    def texts(self) -> tuple[str, ...]:
        """What each has answered so far."""
        return tuple(column.answer.progress.text.strip() for column in self.columns)

    def stop(self) -> None:
        """End all that is on its way and keep what came."""
        for column in self.columns:
            column.answer.stop()

    def agreement(self) -> Agreement | None:
        """Lay out what has come, word by word, leaving out who said nothing; worked out once, at the end."""
        if self._laid is None:
            self._laid = agreement([text for text in self.texts if text])
        return self._laid

    def pieces(self) -> tuple[tuple[Piece, ...], ...]:
        """Return each answer in pieces; none for one that is not laid beside others."""
        laid = self.agreement()
        rest = iter(laid.transcripts if laid else ())
        return tuple(next(rest, ()) if text else () for text in self.texts)

    def errors(self) -> tuple[WordErrors | None, ...]:
        """Count each one's errors against the truth; None where there is no truth or no text."""
        if self._errors is None:
            self._errors = tuple(
                word_errors(self.truth, text) if self.truth and text else None for text in self.texts
            )
        return self._errors


@dataclass
class PickerState(Part):
    """What the page remembers."""

    prompt: str = ""  # as it stands in the box, kept while the visitor is on other pages
    picked: list[str] | None = None  # ids of contenders; None: the visitor has not chosen yet
    comparison: Comparison | None = None
    problem: str = ""

    @property
    def busy(self) -> bool:
        """Whether answers are on their way."""
        return self.comparison is not None and not self.comparison.ended

    def clear(self) -> None:
        """Forget everything; answers on their way end."""
        if self.comparison is not None:
            self.comparison.stop()
        self.prompt = self.problem = ""
        self.picked = self.comparison = None


def offered(cards: Sequence[ModelCard], picked: Sequence[str]) -> list[Contender]:
    """Return who can be compared: each model; where there is only one, that one answering freely too."""
    plain = [Contender(card.id) for card in cards]
    alone = [Contender(cards[0].id, freely=True)] if len(cards) == 1 else []
    linked = [contender(identifier) for identifier in picked]
    known = {card.id for card in cards}
    return list(dict.fromkeys(one for one in (*plain, *alone, *linked) if one.model in known))


def _refuse_if_down(client: Client, model: str) -> None:
    """Say at once that a model is down, beside others that answer: the controller would wait and hope."""
    card = next((card for card in client.models() if card.id == model), None)
    if card is None or card.state == "down":
        raise ClientError(card.detail if card else "", NOT_UP, retryable=True)


def compare(
    client: Client, clip: Clip, truth: str, prompt: str, contenders: Sequence[Contender]
) -> Comparison:
    """Ask all at once, each on a thread of its own, so that one that fails leaves the others be."""
    host = settings()
    storing = threading.Lock()  # a controller that was restarted is given the clip once, not by each

    def opener(one: Contender) -> AnswerStream:
        wait_until_up(client, one.model)
        _refuse_if_down(client, one.model)
        with storing:
            file_id = ensure_stored(client, clip)
        return client.chat(
            one.model,
            messages((), prompt, (file_id,)),
            host.answer_timeout_s,
            temperature=FREE_TEMPERATURE if one.freely else 0,
            max_tokens=host.max_tokens,
        )

    columns = tuple(
        Column(one, Answer(prompt, lambda one=one: opener(one), host.left_alone_s))  # type: ignore[misc]
        for one in contenders
    )
    by_words = bool(TRANSCRIPT.search(prompt))
    return Comparison(prompt, clip.title, clip.seconds, truth, columns, by_words)
