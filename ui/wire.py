"""What passes between the pages and the controller, as types: models, timing, and the events of an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["up", "starting", "down"]


class ClientError(Exception):
    """Something that a visitor is told about: a sentence that says what happened and what to do next."""

    def __init__(self, message: str, code: str = "", retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.retryable = retryable
        self.status = 0  # of the HTTP reply, where there was one
        self.retry_after_s = 0  # when it may work again, where that was said
        self.request_id = ""  # of what failed, by which a host finds it in the logs


@dataclass(frozen=True)
class Decisions:
    """What the host of an event has decided; the epoch grows when all are to start over."""

    paused: bool = False
    epoch: int = 0


@dataclass(frozen=True)
class Capability:
    """Whether a model can do a task, and if not, why, in one sentence."""

    supported: bool
    reason: str = ""


@dataclass(frozen=True)
class ModelCard:
    """A row of GET /v1/models."""

    id: str
    title: str
    sentence: str
    state: State
    kind: str
    default: bool
    licence: str
    max_audio_seconds: float
    capabilities: Mapping[str, Capability]
    languages: tuple[str, ...] = ()  # two-letter codes
    engine: str = ""  # embedded, vllm or openai
    detail: str = ""  # why it is not up
    hub_id: str = ""

    def can(self, task: str) -> Capability:
        """Return what the model says about a task; a model that says nothing is taken to manage."""
        return self.capabilities.get(task, Capability(supported=True))


@dataclass(frozen=True)
class StoredClip:
    """A clip as the controller keeps it."""

    file_id: str
    seconds: float


@dataclass(frozen=True)
class Timing:
    """How long each part of an answer took, in milliseconds; None where nobody measured it."""

    total_ms: float | None = None
    ttft_ms: float | None = None
    asr_ms: float | None = None
    queue_ms: float | None = None
    audio_s: float | None = None
    tokens_per_s: float | None = None
    cache: str = ""
    instance: str = ""


@dataclass(frozen=True)
class Queued:
    """The question waits for its turn: its place, from 1, among so many who wait."""

    position: int
    waiting: int


@dataclass(frozen=True)
class Begun:
    """The wait is over: the question is being read."""


@dataclass(frozen=True)
class Heard:
    """More words of the transcript, from a model that listens before it answers."""

    text: str


@dataclass(frozen=True)
class Token:
    """More words of the answer."""

    text: str


@dataclass(frozen=True)
class Done:
    """The answer is whole, or was cut at the token limit ("length")."""

    timing: Timing = field(default_factory=Timing)
    finish_reason: str = "stop"


@dataclass(frozen=True)
class Usage:
    """How many tokens a model read and wrote, where it counts them; told after the end."""

    read: int
    written: int


Event = Queued | Begun | Heard | Token | Done | Usage


@dataclass(frozen=True)
class Segment:
    """A sentence or less of a recording, and when it is said, in seconds from the start."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class ReadUntil:
    """How far a recording has been read and how long it is, both in seconds."""

    read_until: float
    seconds: float


@dataclass(frozen=True)
class Written:
    """All of a recording is written down: the whole text."""

    text: str


TranscriptEvent = Heard | Segment | ReadUntil | Written


def model_card(row: Mapping[str, Any]) -> ModelCard:
    """Read a row of /v1/models; a server without our extension is a chat model that is up."""
    about = row.get("meralion") or {}
    identifier = str(row["id"])
    capabilities = {
        name: Capability(bool(can.get("supported", True)), str(can.get("reason", "")))
        for name, can in (about.get("capabilities") or {}).items()
    }
    return ModelCard(
        id=identifier,
        title=str(about.get("title") or identifier),
        sentence=str(about.get("sentence") or ""),
        state=about.get("state", "up"),
        kind=str(about.get("kind", "chat")),
        default=bool(about.get("default", False)),
        licence=str(about.get("licence") or ""),
        max_audio_seconds=float(about.get("max_audio_seconds") or 0),
        capabilities=capabilities,
        languages=tuple(str(code) for code in about.get("languages") or ()),
        engine=str(about.get("engine") or ""),
        detail=str(about.get("detail") or ""),
        hub_id=str(about.get("hub_id") or ""),
    )


def error_of(body: Any) -> ClientError | None:
    """Read an error in OpenAI's form; None where the body is something else."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or not error.get("message"):
        return None
    kind = str(error.get("type") or "")
    retryable = kind in ("server_error", "rate_limit_error")
    return ClientError(str(error["message"]), str(error.get("code") or ""), retryable)


def payloads(lines: Iterator[str]) -> Iterator[Mapping[str, Any] | None]:
    """Yield the object in each server-sent event, and None for `[DONE]`; comments are passed over.

    Raises ClientError where an event tells of one, and ValueError where it cannot be read.
    """
    for line in lines:
        if not line.startswith("data:"):
            continue
        data = line[5:].strip()
        if data == "[DONE]":
            yield None
            continue
        payload = json.loads(data)
        if not isinstance(payload, dict):
            raise ValueError("an event that is no object")
        if error := error_of(payload):
            raise error
        yield payload


def events(lines: Iterator[str]) -> Iterator[Event]:
    """Read the server-sent events of a streamed answer until `[DONE]`. Raises ClientError."""
    for chunk in payloads(lines):
        if chunk is None:
            return
        yield from _chunk_events(chunk)
    raise ClientError("The answer broke off before its end. Press Ask again.", "cut_off", retryable=True)


def _chunk_events(chunk: Mapping[str, Any]) -> Iterator[Event]:
    about = chunk.get("meralion") or {}
    if queued := about.get("queued"):
        yield Queued(int(queued["position"]), int(queued["waiting"]))
    if heard := about.get("heard"):
        yield Heard(str(heard))
    for choice in (chunk.get("choices") or [])[:1]:
        delta = choice.get("delta") or {}
        if delta.get("role"):
            yield Begun()
        if text := delta.get("content"):
            yield Token(str(text))
        if reason := choice.get("finish_reason"):
            yield Done(_timing(about.get("timing") or {}), str(reason))
    if usage := chunk.get("usage"):
        yield Usage(int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))


def _timing(values: Mapping[str, Any]) -> Timing:
    def number(name: str) -> float | None:
        value = values.get(name)
        return float(value) if isinstance(value, int | float) else None

    return Timing(
        total_ms=number("total_ms"),
        ttft_ms=number("ttft_ms"),
        asr_ms=number("asr_ms"),
        queue_ms=number("queue_ms"),
        audio_s=number("audio_s"),
        tokens_per_s=number("tokens_per_s"),
        cache=str(values.get("cache") or ""),
        instance=str(values.get("instance") or ""),
    )
