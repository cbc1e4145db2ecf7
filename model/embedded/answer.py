"""A conversation, and the answer to it in the order in which it is made."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Clip = NDArray[np.int16]  # (samples,) at 16 kHz


@dataclass(frozen=True)
class Turn:
    """One message of a conversation, with the clips that came with it."""

    role: Literal["system", "user", "assistant"]
    text: str
    clips: tuple[Clip, ...] = ()


@dataclass(frozen=True)
class Event:
    """A piece of the answer, or of what was heard on the way to it."""

    text: str = ""
    heard: str = ""
    written: bool = False  # by the text model; all other text is the same each time


@dataclass
class Account:
    """What an answer cost and how it ended, filled while it is made."""

    finish_reason: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    asr_ms: float = 0.0
    llm_ms: float = 0.0
    audio_seconds: float = 0.0

    def as_timing(self) -> dict[str, float]:
        """The time of each stage in milliseconds, and seconds of audio."""
        return {
            "asr_ms": round(self.asr_ms, 1),
            "llm_ms": round(self.llm_ms, 1),
            "audio_s": round(self.audio_seconds, 2),
        }
