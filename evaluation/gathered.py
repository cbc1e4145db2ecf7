"""What comes of one clip, reply by reply, until it is an answer."""

from __future__ import annotations

import time
from collections.abc import Iterable

from evaluation.core import Answer, Example
from evaluation.stream import Reply
from evaluation.trouble import Trouble


class Gathered:
    """Joins the replies about one clip by spaces, as AudioBench does."""

    def __init__(self, example: Example) -> None:
        self.audio_s = 0.0  # sent
        self._example = example
        self._started = time.monotonic()
        self._texts: list[str] = []
        self._counted: list[str] = []  # the part of each that is scored
        self._replies: list[Reply] = []
        self._heard = ""
        self._trouble: Trouble | None = None

    def add(self, reply: Reply, counted: str) -> None:
        """A reply, and the part of it that counts."""
        self._replies.append(reply)
        self._texts.append(reply.text)
        self._counted.append(counted)

    def heard_only(self) -> str:
        """What was gathered so far was a transcript and not the answer. Returns it."""
        self._heard = " ".join(self._texts)
        self._texts, self._counted = [], []
        return self._heard

    def fail(self, trouble: Trouble) -> None:
        """There will be no whole answer; what came of it is kept."""
        self._trouble = trouble
        self._replies.append(Reply(tries=trouble.tries))
        if trouble.so_far:
            self._texts.append(trouble.so_far)
            self._counted.append(trouble.so_far)

    def answer(self) -> Answer:
        """The line that is kept."""
        replies, example = self._replies, self._example
        text, counted = " ".join(self._texts), " ".join(self._counted)
        return Answer(
            id=example.id,
            instruction=example.instruction,
            question=example.question,
            reference=example.reference,
            answer=text,
            counted=None if counted == text else counted,
            problem=str(self._trouble or ""),
            again=bool(self._trouble and self._trouble.again),
            choices=example.choices,
            group=example.group,
            rejected=example.rejected,
            audio_s=round(self.audio_s, 3),
            first_token_s=round(replies[0].first_token_s, 4),
            total_s=round(time.monotonic() - self._started, 4),
            tokens=sum(reply.tokens for reply in replies),
            tries=max(reply.tries for reply in replies),
            cache=_each(reply.cache for reply in replies),
            finish=_each(reply.finish for reply in replies),
            heard=self._heard or " ".join(reply.heard for reply in replies if reply.heard),
        )


def _each(values: Iterable[str]) -> str:
    """Every value once, in the order they came."""
    return " ".join(dict.fromkeys(value for value in values if value))
