"""What visitors do: visits of questions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """One question about a sound. Times are in s."""

    clip: str
    audio_s: float
    words: str  # the same words about the same sound get the same answer
    tokens: int  # of the answer
    pause_s: float = 0.0  # since the last answer's end, or the visitor's arrival
    patience_s: float = 60.0  # without a word, after which the visitor leaves
    public: bool = False  # about a sample of the demo's own, whose answers are everybody's
    factor: float = 1.0  # how much harder than the average its sound is to read


@dataclass(frozen=True, slots=True)
class Visit:
    """A visitor from the arrival on."""

    at: float  # s
    owner: str
    questions: tuple[Question, ...]
