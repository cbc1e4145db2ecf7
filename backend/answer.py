"""What an answer is made of, in order: a place in the queue, what was heard, words, then an end."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Queued:
    """A place in the queue, from 1, of so many who wait; told while waiting, and never kept."""

    position: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a reply that is passed through as it is; bytes follow."""

    content_type: str


@dataclass(frozen=True, slots=True)
class Heard:
    """A piece of the transcript that a cascade answers from."""

    text: str


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer cost, in tokens."""

    prompt_tokens: int
    completion_tokens: int

    def card(self) -> dict[str, int]:
        """Return OpenAI's usage object."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }


@dataclass(frozen=True, slots=True)
class Done:
    """The end. `engine_timing` holds the engine's own figures by name, in ms but for `audio_s`."""

    finish_reason: str
    usage: Usage | None = None
    engine_timing: dict[str, float] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether the model came to its end by itself or by the length asked for."""
        return self.finish_reason in ("stop", "length")


Event = Heard | Token | Done
