"""Speakers of other engines than Kokoro, for training only: another engine makes other mistakes.

Piper's voice comes with requirements/train.txt, the rest from Debian, as programs that are run:

    apt-get install --no-install-recommends espeak-ng flite festival festvox-kdlpc16k festvox-us-slt-hts
"""

# ruff: noqa: S311 - no secrets are drawn

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

Sex = Literal["female", "male"]
VARIANTS = 6  # of each speaker: as high as it is, and played faster and slower
NATURAL = (0.92, 1.1)  # pitches at which nobody takes a man for a woman


@dataclass(frozen=True)
class Speaker:
    """What is known of a speaker of an engine."""

    sex: Sex
    accent: str  # as an answer names it; "": none that could be named
    is_like_a_person: bool = True  # else nobody could tell the sex


SPEAKERS: dict[str, dict[str, Speaker]] = {
    "piper": {"joe": Speaker("male", "American")},
    "flite": {
        "rms": Speaker("male", "American"),
        "slt": Speaker("female", "American"),
        "awb": Speaker("male", "Scottish"),
    },
    "festival": {
        "ked_diphone": Speaker("male", "American"),
        "cmu_us_slt_arctic_hts": Speaker("female", "American"),
    },
    # A formant synthesiser: accents of words, voices of a machine.
    "espeak": {
        f"{language}+{variant}": Speaker("female" if variant[0] == "f" else "male", "", False)
        for language in ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-029")
        for variant in ("m1", "m3", "m7", "f2", "f4")
    },
}
ENGINES = ("kokoro", *SPEAKERS)


@dataclass(frozen=True)
class OtherVoice:
    """A speaker of an engine, played `pitch` times as fast."""

    engine: str
    speaker: str
    pitch: float = 1.0

    @property
    def name(self) -> str:
        """Such as "flite-rms-107"."""
        return f"{self.engine}-{self.speaker}-{round(100 * self.pitch)}"

    @property
    def sex(self) -> Sex:
        """Of the person who was recorded."""
        return SPEAKERS[self.engine][self.speaker].sex

    @property
    def region(self) -> str:
        """Where the speaker's accent is from; "" where it could not be named."""
        return SPEAKERS[self.engine][self.speaker].accent

    @property
    def tells_sex(self) -> bool:
        """Whether a listener could tell man from woman."""
        return SPEAKERS[self.engine][self.speaker].is_like_a_person and NATURAL[0] <= self.pitch <= NATURAL[1]


def other_voices(engine: str, max_pitch: float, seed: int) -> list[OtherVoice]:
    """The speakers of an engine, each at several pitches."""
    chance = Random(f"voices/{seed}/{engine}")
    return [
        OtherVoice(engine, speaker, pitch)
        for speaker in SPEAKERS[engine]
        for pitch in sorted({1.0, *(_pitch(max_pitch, chance) for _ in range(VARIANTS - 1))})
    ]


def _pitch(largest: float, chance: Random) -> float:
    return round(largest ** chance.uniform(-1, 1), 2)
