"""A recording that is written down with times, apart from the page's runs: see `ui.follow`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ui.follow import Followed, Snapshot
from ui.transcript_stream import TranscriptStream
from ui.wire import Heard, ReadUntil, Segment, TranscriptEvent, Written

Phase = Literal["waiting", "reading", "done", "stopped", "failed"]

UNFORESEEN = "Something went wrong on this page. Try again; the host will find the reason in the log."


@dataclass(frozen=True)
class Progress(Snapshot):
    """What is known of a transcript at one moment; what came before an end of any kind is kept."""

    phase: Phase = "waiting"  # until the first word, or news of how long the recording is
    text: str = ""
    segments: tuple[Segment, ...] = ()  # of the windows that are read; `text` may be further
    read_until: float = 0.0  # seconds from the start of the recording
    seconds: float = 0.0  # how long the recording is; 0 until that is told

    @property
    def share(self) -> float:
        """How much of the recording is read, 0 to 1."""
        return min(1.0, self.read_until / self.seconds) if self.seconds else 0.0


class Transcript(Followed[Progress, TranscriptEvent]):
    """A transcript in the making. `opener` waits for the model where it must, then opens the stream."""

    unforeseen = UNFORESEEN

    def __init__(self, opener: Callable[[], TranscriptStream], left_alone_s: float) -> None:
        super().__init__(Progress(), opener, left_alone_s)

    def _take(self, event: TranscriptEvent) -> None:
        now = self._progress
        match event:
            case Heard(text):
                self._update(phase="reading", text=now.text + text)
            case Segment():
                self._update(phase="reading", segments=(*now.segments, event))
            case ReadUntil(read_until, seconds):
                self._update(phase="reading", read_until=read_until, seconds=seconds)
            case Written(text):
                self._update(phase="done", text=text)
