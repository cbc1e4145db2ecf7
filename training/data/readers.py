"""Which reader reads which corpus."""

from __future__ import annotations

from dataclasses import dataclass

from training.data import mnsc
from training.data.clips import Clips, Units
from training.data.nsc import conversations, read_speech


@dataclass(frozen=True)
class Reader:
    """How a corpus is listed and read."""

    units: Units
    clips: Clips


READ = Reader(read_speech.units, read_speech.clips)
TALK = Reader(conversations.units, conversations.clips)
READERS = {
    "nsc-1": READ,
    "nsc-2": READ,
    "nsc-3": TALK,
    "nsc-4": TALK,
    "nsc-5": TALK,
    "nsc-6": TALK,
    "mnsc": Reader(mnsc.units, mnsc.clips),
}
