"""What `python -m training.data.prepare` reads from its YAML: sources, rules, splits, machine."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from model.prompts import TRANSCRIBE

LONGEST_WINDOW = 30.0  # s, what the encoder hears at once

Corpus = Literal["nsc-1", "nsc-2", "nsc-3", "nsc-4", "nsc-5", "nsc-6", "mnsc"]


@dataclass(frozen=True)
class Source:
    """One corpus as delivered."""

    corpus: Corpus
    folder: Path
    name: str = ""  # what rows call it; the corpus where nothing is given
    licence: str = "Singapore Open Data Licence 1.0"
    speakers: Path | None = None  # the table of speakers, where it is not found by its name
    channels: tuple[int, ...] = (0,)  # parts 1 and 2: 0 headset, 1 boundary microphone, 2 phone
    text: Literal["prompt", "normalised"] = "prompt"  # parts 1 and 2: as it was to be read, or as it was
    view: Literal["dialogue", "speaker"] = "dialogue"  # parts 3 to 6: both sides together, or each alone
    microphone: Literal["close", "far"] = "close"  # part 3: CloseMic and StandingMic, or BoundaryMic and IVR
    subsets: tuple[str, ...] = ()  # mnsc: folders such as ASR-PART3-Train; none: all there are

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.+-]*", self.name):
            raise ValueError(
                f"name {self.name!r}: letters, digits, - . + and _ only, since ids begin with it."
            )

    @property
    def label(self) -> str:
        """The `source` of its rows."""
        return self.name or self.corpus


@dataclass(frozen=True)
class Tags:
    """What becomes of the marks in a transcript."""

    unintelligible: Literal["drop", "keep"] = "drop"  # <UNK>, **, <NEN>: the utterance, or the mark alone
    fillers: Literal["keep", "drop"] = "keep"  # (uh), (um)
    fragments: Literal["keep", "drop"] = "drop"  # abbre~


@dataclass(frozen=True)
class Hearing:
    """A recogniser to compare transcripts with: a file of what it heard, or an OpenAI endpoint."""

    file: Path | None = None  # JSON lines with `id` and `text`
    url: str | None = None  # up to /v1
    model: str = "whisper"
    key_variable: str | None = None  # the environment variable that holds the endpoint's key
    most_wrong: float = 0.5  # word error rate above which a row is dropped
    at_once: int = 4
    timeout_s: float = 60.0
    attempts: int = 4

    def __post_init__(self) -> None:
        if (self.file is None) == (self.url is None):
            raise ValueError("give either `file` or `url`.")


@dataclass(frozen=True)
class Rules:
    """What a row must be like."""

    shortest_s: float = 0.5
    longest_s: float = LONGEST_WINDOW
    quietest_dbfs: float = -60.0  # of the loudest 20 ms
    fewest_characters_s: float = 0.5
    most_characters_s: float = 30.0
    alignment_s: float = 0.1  # recording against script, and one side against the other
    padding_s: float = 0.1  # of quiet left around a window's words
    tags: Tags = field(default_factory=Tags)
    hearing: Hearing | None = None

    def __post_init__(self) -> None:
        if not 0 < self.shortest_s < self.longest_s <= LONGEST_WINDOW:
            raise ValueError(f"need 0 < shortest_s < longest_s <= {LONGEST_WINDOW:g}, one encoder window.")


@dataclass(frozen=True)
class Splits:
    """Shares of the speakers, by a hash of who they are: more speakers do not move the others."""

    dev: float = 0.01
    test: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        if self.dev < 0 or self.test < 0 or self.dev + self.test >= 1:
            raise ValueError("dev and test are shares from 0 to 1 that leave something for train.")


@dataclass(frozen=True)
class Leaks:
    """Corpora whose sound must not be in train: built ones, or folders of Parquet with `context`."""

    against: tuple[Path, ...] = ()
    drop_text: bool = False  # train rows whose words (four or more) are in a test set too


@dataclass(frozen=True)
class Machine:
    """Where it runs. The corpus does not depend on it."""

    engine: Literal["ray", "processes"] = "ray"
    address: str | None = None  # of a Ray cluster; none: this machine
    cpus: int | None = None  # none: all


@dataclass(frozen=True)
class Preparation:
    """A corpus to build."""

    out: Path
    sources: tuple[Source, ...]
    instructions: tuple[str, ...] = (
        TRANSCRIBE,
        "Please transcribe.",
        "Transcribe what is said in this audio.",
        "Can you write down this speech word for word?",
    )
    rules: Rules = field(default_factory=Rules)
    splits: Splits = field(default_factory=Splits)
    leaks: Leaks = field(default_factory=Leaks)
    skip: tuple[str, ...] = ()  # units to leave out, by the name that an error gave
    shard_mb: int = 256
    machine: Machine = field(default_factory=Machine)

    def __post_init__(self) -> None:
        labels = [source.label for source in self.sources]
        if not labels or not self.instructions:
            raise ValueError("sources and instructions need at least one entry each.")
        if len(set(labels)) < len(labels):
            raise ValueError("two sources have one name. Give one of them another `name`.")
        places = [self.out, *(source.folder for source in self.sources)]
        if self.machine.address and not all(place.is_absolute() for place in places):
            raise ValueError("on a cluster `out` and `folder` are absolute paths that all machines see.")
        if self.shard_mb < 1:
            raise ValueError("shard_mb must be at least 1.")
