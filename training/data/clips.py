"""What readers give: units of work that can be done anywhere, and the clips that a unit holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from training.data.audio import Pcm
from training.data.ledger import Ledger
from training.data.settings import Rules, Source

Split = Literal["", "train", "test"]
"""Where a corpus itself has put a clip; empty: nowhere."""


@dataclass(frozen=True)
class Speaker:
    """A person; `sex` is female, male or empty, `accent` as the corpus says or empty."""

    name: str
    sex: str = ""
    accent: str = ""


@dataclass(frozen=True)
class Unit:
    """A piece of a source that is read by one process: a speaker, a conversation, some rows of Parquet."""

    source: int  # which of the config's sources
    name: str  # unique, and fit for a file's name
    files: tuple[str, ...]  # what it is read from
    details: Mapping[str, Any] = field(default_factory=dict)  # the reader's own, as JSON has it

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Clip:
    """A row before it is one: sound (samples,) at 16 kHz, and what is known of it."""

    id: str
    pcm: Pcm
    text: str  # what is said; empty where the corpus does not say
    speakers: tuple[Speaker, ...] = ()
    task: str = "asr"
    instruction: str = ""  # empty: one of the config's
    answer: str = ""  # empty: the text
    split: Split = ""


Units = Callable[[Source, int], list[Unit]]
"""A source's units, in an order that stays; the number is the source's. Raises DataError: nothing there."""

Clips = Callable[[Source, Unit, Rules, Ledger, Ledger], Iterator[Clip]]
"""A unit's clips: utterances are accounted for in the first ledger, rows that fail in the second."""


def note_strays(unit: Unit, heard: Ledger) -> None:
    """Account for files whose names say nothing to a reader."""
    for file in unit.files:
        heard.drop("stray", file)
