"""The canonical request: what a model is really asked, whichever way the caller wrote it."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from backend.audio import Clip
from backend.errors import InvalidRequest
from backend.http1 import Body
from backend.registry import Row
from backend.settings import Settings
from backend.wire import ChatBody
from backend.work import Ask, Work

_NAMES = (
    r"speechhere|start_of_turn|end_of_turn|start_of_image|end_of_image|start_of_audio|end_of_audio|"
    r"image_soft_token|audio_soft_token|im_start|im_end|endoftext|bos|eos|pad|unk|mask|unused\d+|s"
)
_CONTROL_TOKEN = re.compile(rf"<\|[^<>|\n]{{0,64}}\|>|</?(?:{_NAMES})\s*/?>", re.IGNORECASE)
_MAX_PASSES = 32
_USUAL_TOKENS = 256  # of an answer whose length nobody bounds


@dataclass(frozen=True)
class Message:
    """One turn: texts and recordings in the caller's order."""

    role: str
    parts: tuple[str | Clip, ...]

    @property
    def text(self) -> str:
        """All its words."""
        return "\n".join(part for part in self.parts if isinstance(part, str))


@dataclass(frozen=True)
class ChatRequest:
    """A question to one model, with nothing left to decide."""

    row: Row
    owner: str
    messages: tuple[Message, ...]
    sampling: Mapping[str, Any]

    @property
    def clips(self) -> list[Clip]:
        """The recordings, in order."""
        return [part for message in self.messages for part in message.parts if isinstance(part, Clip)]

    @property
    def is_deterministic(self) -> bool:
        """Whether the same request must give the same answer."""
        return self.sampling.get("temperature") == 0 or "seed" in self.sampling

    def key(self) -> str:
        """Name the request by all that its answer depends on, and by who may read that answer."""
        clips = self.clips
        scope = "public" if clips and all(clip.public for clip in clips) else self.owner
        turns = [
            (turn.role, [part if isinstance(part, str) else {"pcm": part.sha256} for part in turn.parts])
            for turn in self.messages
        ]
        model = (self.row.id, self.row.upstream_id, self.row.revision)
        whole = json.dumps([scope, model, turns, dict(self.sampling)], sort_keys=True)
        return hashlib.sha256(whole.encode()).hexdigest()

    def ask(self) -> Ask:
        """Return what this asks of an engine, and by which sound an instance may know it."""
        clips = self.clips
        tokens = self.sampling.get("max_tokens", _USUAL_TOKENS)
        work = Work(sum(clip.seconds for clip in clips), tokens)
        return Ask(self.owner, work, affinity=clips[0].trait if clips else "")

    def body(self, continue_from: str = "", max_tokens: int | None = None) -> Body:
        """Return the body for the engine; answers are always streamed from there.

        `continue_from` is text that the answer begins with already, and `max_tokens` what may be added to it.
        """
        recordings = _Recordings()
        messages = [{"role": turn.role, "content": recordings.content(turn)} for turn in self.messages]
        whole: dict[str, Any] = {
            "model": self.row.upstream_id,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self.sampling,
        }
        if continue_from:
            messages.append({"role": "assistant", "content": continue_from})
            whole |= {"continue_final_message": True, "add_generation_prompt": False}
            if max_tokens is not None:
                whole["max_tokens"] = max_tokens
        return Body("application/json", recordings.pieces(whole))


def build(
    body: ChatBody, row: Row, owner: str, clips: Mapping[tuple[int, int], Clip], settings: Settings
) -> ChatRequest:
    """Put a request together; `clips` holds the recordings by (message, part). Raises InvalidRequest."""
    _check_lengths(body, settings)
    messages = tuple(
        Message(
            "system" if turn.role == "developer" else turn.role,
            _parts(
                clips[at, index] if part.type != "text" else part.text
                for index, part in enumerate(turn.content)
            ),
        )
        for at, turn in enumerate(body.messages)
    )
    _check_question(messages[-1])
    request = ChatRequest(
        row, owner, tuple(_templated(turn, row) for turn in messages), _sampling(body, row, settings)
    )
    heard = sum(clip.seconds for clip in request.clips)
    if heard > row.max_audio_seconds:
        raise InvalidRequest(
            "audio_too_long",
            f"The recordings last {heard:.0f} seconds together, and {row.title} takes "
            f"{row.max_audio_seconds:g}. Send a shorter part, or start over.",
            param="messages",
        )
    return request


def cleaned(text: str, settings: Settings) -> str:
    """Return a text without control tokens. Raises InvalidRequest for one that is empty or too long."""
    _check_size(len(text), settings)
    left = without_control_tokens(text).strip()
    if not left:
        raise _empty()
    return left


def without_control_tokens(text: str) -> str:
    """Take out what a model would read as its own marks, also where taking out one makes another."""
    for _ in range(_MAX_PASSES):
        shorter = _CONTROL_TOKEN.sub("", text)
        if shorter == text:
            return text
        text = shorter
    return text.replace("<", "")  # nested on purpose, and deeper than anyone writes


def _check_lengths(body: ChatBody, settings: Settings) -> None:
    """Raise InvalidRequest for more words than are taken, as they came: taking tokens out takes its time."""
    whole = 0
    for turn in body.messages:
        size = sum(len(part.text) for part in turn.content if part.type == "text")
        if turn.role != "assistant":
            _check_size(size, settings)
        whole += size
    if whole > settings.max_conversation_chars:
        raise InvalidRequest(
            "prompt_too_long",
            f"The conversation has {whole:,} characters; at most {settings.max_conversation_chars:,} are "
            "taken. Start over.",
            param="messages",
        )


def _check_size(size: int, settings: Settings) -> None:
    if size > settings.max_prompt_chars:
        raise InvalidRequest(
            "prompt_too_long",
            f"The question has {size:,} characters; at most {settings.max_prompt_chars:,} are taken. "
            "Shorten it.",
        )


def _check_question(last: Message) -> None:
    """Raise InvalidRequest for a turn that asks nothing. A recording alone is a question too."""
    if last.role != "user":
        raise InvalidRequest(
            "prompt_empty", "The last message must be the user's question.", param="messages"
        )
    is_wordless = last.parts and all(isinstance(part, Clip) for part in last.parts)
    if not is_wordless and not last.text:
        raise _empty()


def _empty() -> InvalidRequest:
    return InvalidRequest(
        "prompt_empty", "The question is empty. Write or choose what to ask, then send it again."
    )


def _parts(parts: Iterable[str | Clip]) -> tuple[str | Clip, ...]:
    """Join neighbouring texts, so that no engine joins halves of a control token, and take the tokens out."""
    joined: list[str | Clip] = []
    for is_text, run in itertools.groupby(parts, key=lambda part: isinstance(part, str)):
        if is_text:
            joined.append(without_control_tokens("\n".join(str(part) for part in run)).strip())
        else:
            joined.extend(run)
    return tuple(joined)


def _templated(turn: Message, row: Row) -> Message:
    """Put a user's words into the model's template, and leave out texts with nothing in them."""
    parts = tuple(part for part in turn.parts if part != "")
    if turn.role == "user":
        parts = tuple(row.instruction(part) if isinstance(part, str) else part for part in parts)
    return Message(turn.role, parts)


def _sampling(body: ChatBody, row: Row, settings: Settings) -> dict[str, Any]:
    asked = body.model_dump(
        include={"temperature", "top_p", "seed", "stop", "frequency_penalty", "presence_penalty"},
        exclude_none=True,
    )
    max_tokens = body.max_completion_tokens or body.max_tokens
    if max_tokens is not None:
        if max_tokens > settings.max_output_tokens:
            raise InvalidRequest(
                "max_tokens_too_large",
                f"`max_tokens` is {max_tokens:,}; at most {settings.max_output_tokens:,} are had. Lower it.",
                param="max_tokens",
            )
        asked["max_tokens"] = max_tokens
    return {**row.sampling.model_dump(exclude_none=True), **asked}


class _Recordings:
    """Keeps recordings out of the JSON until it is written: a megabyte of base64 needs no escaping."""

    def __init__(self) -> None:
        self._mark = secrets.token_hex(16)  # stands where one belongs; nobody can have written it
        self._clips: list[Clip] = []

    def content(self, turn: Message) -> str | list[dict[str, Any]]:
        """Return a turn's content, with a mark for each recording."""
        if not any(isinstance(part, Clip) for part in turn.parts):
            return turn.text
        return [
            {"type": "text", "text": part} if isinstance(part, str) else self._part(part)
            for part in turn.parts
        ]

    def pieces(self, whole: Mapping[str, Any]) -> list[bytes]:
        """Return the JSON in pieces, the recordings in place of their marks."""
        first, *others = json.dumps(whole).encode().split(self._mark.encode())
        pieces = [first]
        for clip, text in zip(self._clips, others, strict=True):
            pieces += [*clip.base64(), text]
        return pieces

    def _part(self, clip: Clip) -> dict[str, Any]:
        self._clips.append(clip)
        return {"type": "input_audio", "input_audio": {"data": self._mark, "format": "wav"}}
