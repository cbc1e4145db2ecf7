"""Flite, Festival and eSpeak NG (GPL-3), run as programs of their own."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from training.errors import DataError

PACKAGES = "espeak-ng flite festival festvox-kdlpc16k festvox-us-slt-hts"
ESPEAK_WORDS = 165  # a minute, at speed 1
HTS = "hts"  # in the names of Festival's voices that no setting makes slower
# Of processor time, for a program that hangs. No wall time: a build may be stopped for long.
LIMIT = ("prlimit", "--cpu=60")


_have_spoken: set[str] = set()  # speakers, in this process


class Spoken(NamedTuple):
    """Sound (samples,) within [-1, 1], at `rate` Hz."""

    sound: NDArray[np.float32]
    rate: int


def flite(words: str, speaker: str, speed: float) -> Spoken:
    """By Flite's clustergen and diphone voices."""
    stretch = f"duration_stretch={1 / speed:.3f}"
    return _spoken(
        lambda text, out: ("flite", "-voice", speaker, "--setf", stretch, str(text), str(out)), words, speaker
    )


def festival(words: str, speaker: str, speed: float) -> Spoken:
    """By Festival's diphone and HTS voices; the speed of the latter stays as it is."""
    voice = f"(voice_{speaker})"
    pace = "" if HTS in speaker else f"(Parameter.set 'Duration_Stretch {1 / speed:.3f})"
    return _spoken(
        lambda text, out: ("text2wave", "-eval", f"(begin {voice} {pace})", str(text), "-o", str(out)),
        words,
        speaker,
    )


def espeak(words: str, speaker: str, speed: float) -> Spoken:
    """By eSpeak NG's formants; `speaker` is a voice with a variant, such as "en-gb+f2"."""
    pace = str(round(ESPEAK_WORDS * speed))
    return _spoken(
        lambda text, out: ("espeak-ng", "-v", speaker, "-s", pace, "-f", str(text), "-w", str(out)),
        words,
        speaker,
    )


def ipa(clauses: Sequence[str], language: str) -> list[str]:
    """The sounds of each clause, by eSpeak NG. Raises DataError where it is missing."""
    found = _run(("espeak-ng", "-q", "--ipa", "-v", language), "\n\n".join(clauses))
    said = [" ".join(part.split()) for part in found.strip().split("\n\n")]
    if len(said) == len(clauses):
        return said
    # A clause that eSpeak NG cuts in two comes as two: then each is asked for alone.
    return [
        " ".join(_run(("espeak-ng", "-q", "--ipa", "-v", language), clause).split()) for clause in clauses
    ]


def _spoken(command: Callable[[Path, Path], Sequence[str]], words: str, speaker: str) -> Spoken:
    with tempfile.TemporaryDirectory() as folder:
        text, out = Path(folder) / "text", Path(folder) / "out.wav"
        text.write_text(f"{words}\n", "ascii", "ignore")
        try:
            _run(command(text, out), "")
            sound, rate = soundfile.read(out, dtype="float32")
        except (DataError, soundfile.LibsndfileError):
            if speaker not in _have_spoken:
                raise
            # It is installed and has a text that it cannot say.
            return Spoken(np.zeros(0, np.float32), 1)
    _have_spoken.add(speaker)
    return Spoken(sound, rate)


def _run(command: Sequence[str], text: str) -> str:
    if not shutil.which(command[0]):
        raise DataError(
            f"{command[0]} is not on this machine. Install it: apt-get install --no-install-recommends "
            f"{PACKAGES}. Or leave its engine out of `engines`."
        )
    done = subprocess.run((*LIMIT, *command), input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DataError(
            f"{command[0]} failed ({done.returncode}): {done.stderr.strip()[-200:] or 'it said nothing'}. "
            f"Install its voices: apt-get install --no-install-recommends {PACKAGES}."
        )
    return done.stdout
