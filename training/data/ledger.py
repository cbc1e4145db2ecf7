"""What became of everything that was read: read = kept + dropped by each rule, with examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

EXAMPLES = 5  # of each rule; the first ones in the order of the corpus

DROPS = {
    "stray": "a file whose name is none that the corpus is known to have",
    "no_audio": "a transcript whose audio is missing",
    "no_transcript": "audio that no script speaks of",
    "script_unreadable": "a script that cannot be read as one",
    "bad_line": "a line of a script that is no entry",
    "duplicate_id": "an id that was given out before",
    "empty": "no words, or none after noises and tags are taken out",
    "unintelligible": "words that the transcriber could not make out or left out",
    "unknown_tag": "a tag that this program does not know",
    "overlapping_intervals": "intervals of one speaker that lie over each other",
    "outside_audio": "words after the end of the recording",
    "misaligned": "recordings and scripts of one conversation that differ in length",
    "no_partner": "one side of a conversation whose other side is missing",
    "turn_too_long": "one turn longer than a window",
    "crosstalk_too_long": "turns that lie over each other for longer than a window",
    "undecodable": "audio that cannot be decoded",
    "not_finite": "samples that are not numbers",
    "too_short": "shorter than the shortest clip allowed",
    "too_long": "longer than the longest clip allowed",
    "silent": "quieter than the quietest clip allowed",
    "slow": "too few characters a second: words are missing from the transcript",
    "fast": "too many characters a second: words are missing from the audio",
    "disagrees": "a recogniser hears other words",
    "duplicate_audio": "the same samples as a row before, for the same task",
    "leaked_audio": "training audio that a test set holds",
    "leaked_speaker": "training audio of a speaker of a test set",
    "leaked_text": "training words that a test set holds",
    "skipped": "named under `skip` in the config",
}
REPAIRS = {
    "resampled": "not at 16 kHz, resampled",
    "mixed_down": "several channels, mixed down to one",
    "script_encoding": "not UTF-8, read by another encoding",
    "trimmed": "an interval that ends just after its recording, cut to its end",
    "no_speaker_data": "a speaker who is not in the table of speakers",
    "not_heard": "no transcript to compare with",
}


class Rejected(Exception):
    """Something that a rule of `DROPS` keeps out; `why` is its example in the report."""

    def __init__(self, rule: str, why: str) -> None:
        super().__init__(f"{rule}: {why}")
        self.rule = rule
        self.why = why


@dataclass
class Ledger:
    """Counts of one kind of thing: utterances as delivered, or rows made of them."""

    read: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    repaired: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def keep(self, count: int = 1) -> None:
        """Note things that go on to the next step."""
        self.read += count
        self.kept += count

    def drop(self, rule: str, example: str, count: int = 1) -> None:
        """Note things that go no further, by a rule of `DROPS`."""
        if rule not in DROPS:
            raise KeyError(rule)
        self.read += count
        self._note(self.dropped, rule, example, count)

    def take_back(self, rule: str, example: str) -> None:
        """Drop one that was kept before the whole corpus was seen."""
        self.read -= 1
        self.kept -= 1
        self.drop(rule, example)

    def repair(self, kind: str, example: str) -> None:
        """Note something that was put right and goes on, by a kind of `REPAIRS`."""
        if kind not in REPAIRS:
            raise KeyError(kind)
        self._note(self.repaired, kind, example, 1)

    def add(self, other: Self) -> None:
        """Take in another ledger, whose things come after these."""
        self.read += other.read
        self.kept += other.kept
        for mine, its in ((self.dropped, other.dropped), (self.repaired, other.repaired)):
            for name, count in its.items():
                mine[name] = mine.get(name, 0) + count
        for name, texts in other.examples.items():
            held = self.examples.setdefault(name, [])
            held.extend(texts[: EXAMPLES - len(held)])

    @property
    def balanced(self) -> bool:
        """Is everything accounted for?"""
        return self.read == self.kept + sum(self.dropped.values())

    def plain(self) -> dict[str, Any]:
        """As JSON, in the order of the tables above."""
        return {
            "read": self.read,
            "kept": self.kept,
            "dropped": {name: self.dropped[name] for name in DROPS if name in self.dropped},
            "repaired": {name: self.repaired[name] for name in REPAIRS if name in self.repaired},
            "examples": {name: self.examples[name] for name in DROPS | REPAIRS if name in self.examples},
        }

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Self:
        """The ledger that `plain` wrote."""
        return cls(
            plain["read"],
            plain["kept"],
            dict(plain["dropped"]),
            dict(plain["repaired"]),
            {name: list(texts) for name, texts in plain["examples"].items()},
        )

    def _note(self, counts: dict[str, int], name: str, example: str, count: int) -> None:
        counts[name] = counts.get(name, 0) + count
        held = self.examples.setdefault(name, [])
        if len(held) < EXAMPLES:
            held.append(example)
