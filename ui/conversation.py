"""A conversation about clips: its turns, and what of them a model is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ui.answer import Answer


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn. Temperature 0: the same question gives the same answer."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512


@dataclass
class Turn:
    """A question and its answer."""

    question: str
    answer: Answer
    model: str  # its id
    files: tuple[str, ...] = ()  # ids of the clips that the question came with
    stands_alone: bool = False  # the question needs nothing of what was said before


@dataclass
class Conversation:
    """Turns in order. Only the last one's answer may still be on its way."""

    turns: list[Turn] = field(default_factory=list)

    @property
    def last(self) -> Turn | None:
        """The turn that is talked about now."""
        return self.turns[-1] if self.turns else None

    @property
    def answering(self) -> bool:
        """Whether an answer is on its way."""
        return self.last is not None and not self.last.answer.progress.ended

    def clear(self) -> None:
        """Forget everything; an answer on its way ends."""
        for turn in self.turns:
            turn.answer.stop()
        self.turns.clear()


def messages(turns: Sequence[Turn], question: str, files: Sequence[str]) -> list[dict[str, Any]]:
    """Return turns that were answered and a question as messages of the OpenAI API.

    A clip goes with the question that it came with, and is not named again while it is talked about.
    """
    said: list[dict[str, Any]] = []
    known: tuple[str, ...] = ()
    for turn in turns:
        text = turn.answer.progress.text.strip()
        if not text:
            continue
        said.append(_asked(turn.question, _new(turn.files, known)))
        said.append({"role": "assistant", "content": text})
        known = turn.files
    said.append(_asked(question, _new(files, known)))
    return said


def _new(files: Sequence[str], known: Sequence[str]) -> list[str]:
    return [file_id for file_id in files if file_id not in known]


def _asked(question: str, files: Sequence[str]) -> dict[str, Any]:
    if not files:
        return {"role": "user", "content": question}
    clips = [{"type": "file", "file": {"file_id": file_id}} for file_id in files]
    return {"role": "user", "content": [*clips, {"type": "text", "text": question}]}
