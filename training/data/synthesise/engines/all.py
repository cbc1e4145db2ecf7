"""All engines behind one door, each loaded when it first speaks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from model.embedded.speech import SAMPLE_RATE as KOKORO_RATE
from model.embedded.speech import Speech
from training.data.schema import SAMPLE_RATE
from training.data.synthesise.cast import AnyVoice
from training.data.synthesise.engines.piper import Piper
from training.data.synthesise.engines.programs import Spoken, espeak, festival, flite
from training.data.synthesise.voices import Voice, write_styles

QUIET = 0.01  # of full scale; softer sound at the ends is cut away
EDGE = 0.03  # s kept around the sound

PROGRAMS: dict[str, Callable[[str, str, float], Spoken]] = {
    "flite": flite,
    "festival": festival,
    "espeak": espeak,
}


class Engines:
    """Speaks with the voices that it was given."""

    def __init__(self, voices: Iterable[AnyVoice]) -> None:
        self._kokoro_voices = [voice for voice in voices if isinstance(voice, Voice)]

    def begin(self, seed: int) -> None:
        """Start anew: what is spoken after it depends on `seed` and on itself."""
        self.__dict__.pop("_piper", None)
        self._seed = seed

    def spoken(self, words: str, voice: AnyVoice, speed: float) -> NDArray[np.float32]:
        """Sound (samples,) at 16 kHz, without silence around it; empty where nothing can be said."""
        # Played back `pitch` times as fast a voice is higher and faster; it speaks slower to make up.
        sound, rate = self._said(words, voice, speed / voice.pitch)
        if not sound.size:
            return sound
        played: NDArray[np.float32] = soxr.resample(sound, rate * voice.pitch, SAMPLE_RATE)
        return played

    def _said(self, words: str, voice: AnyVoice, speed: float) -> Spoken:
        if isinstance(voice, Voice):
            pieces = list(self._kokoro.synthesise(words, voice.name, speed, voice.accent))
            pcm = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
            return Spoken(pcm.astype(np.float32) / np.float32(32768), KOKORO_RATE)
        if voice.engine == "piper":
            found = self._piper.spoken(words, speed)
        else:
            found = PROGRAMS[voice.engine](words, voice.speaker, speed)
        return _trimmed(found)

    @cached_property
    def _kokoro(self) -> Speech:
        with tempfile.TemporaryDirectory() as folder:
            write_styles(Path(folder), self._kokoro_voices)
            return Speech.load(threads=1, voices=Path(folder))

    @cached_property
    def _piper(self) -> Piper:
        piper = Piper()
        piper.begin(self._seed)
        return piper


def _trimmed(said: Spoken) -> Spoken:
    loud = np.flatnonzero(np.abs(said.sound) > QUIET)
    if not loud.size:
        return Spoken(said.sound[:0], said.rate)
    edge = round(EDGE * said.rate)
    return Spoken(said.sound[max(0, loud[0] - edge) : loud[-1] + edge], said.rate)
