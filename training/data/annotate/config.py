"""What `python -m training.data.annotate` reads from its YAML."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from training.data.schema import SPLITS

ASKED = ("sqa", "sds")  # a language model writes them
KNOWN = ("gender", "accent")  # the corpus' index knows the answer


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server of a language model."""

    url: str  # up to /v1
    model: str
    key_variable: str | None = None  # the environment variable that holds the key; the key is written nowhere
    at_once: int = 16
    timeout_s: float = 60.0
    attempts: int = 5  # when it is busy, breaks, or does not answer in time
    temperature: float = 0.0
    max_tokens: int = 256

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"the url is {self.url!r}; write it as http://host:port/v1")
        if min(self.at_once, self.attempts, self.max_tokens) < 1 or self.timeout_s <= 0:
            raise ValueError("at_once, attempts, max_tokens and timeout_s must be above 0")


@dataclass(frozen=True)
class Rules:
    """What a transcript needs to be asked about, and an answer to be kept."""

    fewest_words: int = 8  # of a transcript
    longest_question: int = 30  # words
    longest_answer: int = 40  # words
    longest_summary: int = 80  # words
    grounded: float = 0.6  # share of an answer's content words that must have been said


@dataclass(frozen=True)
class Annotation:
    """Rows to make out of a built corpus."""

    corpus: Path
    out: Path
    endpoint: Endpoint
    splits: tuple[str, ...] = SPLITS
    tasks: tuple[str, ...] = ASKED + KNOWN
    phrasings: int = 8  # how many ways of saying each gender and accent are asked for; 0: our own only
    accents: dict[str, str] = field(default_factory=dict)  # how the corpus' accents are named in answers
    rules: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        for task in self.tasks:
            if task not in ASKED + KNOWN:
                raise ValueError(f"there is no task {task!r} here; choose from {', '.join(ASKED + KNOWN)}")
        for split in self.splits:
            if split not in SPLITS:
                raise ValueError(f"there is no split {split!r}; a corpus has {', '.join(SPLITS)}")
        if self.out == self.corpus:
            raise ValueError("`out` must be another folder than `corpus`")
        if self.phrasings < 0:
            raise ValueError("phrasings must be 0 or more")
