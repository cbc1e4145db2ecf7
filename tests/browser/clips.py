"""A person's voice in the containers that phones and browsers make, and as what a microphone hears."""

from __future__ import annotations

import io
import re
import wave
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

FOLDER = Path("/usr/share/pocketsphinx/test/data/librivox")  # Debian's pocketsphinx-testdata
NAME = "sense_and_sensibility_01_austen_64kb-0870"
RATE = 16_000
LEAD_S, TAIL_S = 1.0, 12.0  # of a quiet room before and after the sentence
ROOM_NOISE = 0.0005  # root mean square; a microphone never gives exact zeros


@dataclass(frozen=True)
class Spoken:
    """What was said, and the sound of it: 16 kHz, mono, int16, shape (samples,)."""

    text: str
    pcm: NDArray[np.int16]

    @property
    def wav(self) -> bytes:
        return wav(self.pcm)

    def encoded(self, container: str, codec: str, rate: int) -> bytes:
        """The clip as another program would have saved it."""
        out = io.BytesIO()
        with av.open(out, "w", format=container) as file:
            stream = file.add_stream(codec, rate=rate, layout="mono")
            frame = av.AudioFrame.from_ndarray(self.pcm[None, :], format="s16", layout="mono")
            frame.sample_rate = RATE
            for packet in stream.encode(frame):
                file.mux(packet)
            for packet in stream.encode(None):
                file.mux(packet)
        return out.getvalue()

    def at_the_microphone(self, file: Path) -> Path:
        """Write what a microphone in a quiet room hears: a moment, the sentence, and a long pause."""
        quiet = [np.zeros(int(RATE * seconds), np.int16) for seconds in (LEAD_S, TAIL_S)]
        heard = np.concatenate([quiet[0], self.pcm, quiet[1]]).astype(np.float32)
        heard += np.random.default_rng(0).standard_normal(len(heard)).astype(np.float32) * ROOM_NOISE * 32767
        file.write_bytes(wav(np.clip(heard, -32768, 32767).astype(np.int16)))
        return file


def wav(pcm: NDArray[np.int16]) -> bytes:
    """A WAV file, 16 kHz, mono."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm.astype("<i2").tobytes())
    return out.getvalue()


def human() -> Spoken | None:
    """A sentence of a LibriVox reader with its transcript; None where the recordings are not installed."""
    sound, transcripts = FOLDER / f"{NAME}.wav", FOLDER / "transcription"
    if not sound.exists():
        return None
    line = next(line for line in transcripts.read_text().splitlines() if NAME in line)
    with wave.open(str(sound)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return Spoken(re.sub(r"</?s>|\(.*\)", "", line).strip(), pcm)
