"""Text to speech: Kokoro-82M (int8 ONNX, Apache-2.0) over `phonemes.py`, a sentence at a time.

speech = Speech.load(threads=1)
for pcm in speech.synthesise("Hello! One kopi, please.", "af_heart"):
    play(pcm)  # int16, mono, 24 kHz
"""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from model.embedded.lexicon import Accent
from model.embedded.phonemes import Phonemizer, sentences
from model.embedded.weights import default_cache, kokoro_model, kokoro_vocab

SAMPLE_RATE = 24_000  # Hz
STYLE_SIZE = 256
STYLE_ROWS = 510  # a voice holds one style for each length of input, which bounds the input
LONGEST_PIECE = 300  # phonemes; shorter than the model's 510, so that sound starts sooner in less memory
FIRST_PIECE = 120  # phonemes; a long first sentence is cut at a mark, for the first sound to come early
SHORTEST_PIECE = 20  # phonemes; alone, a shorter one sounds clipped, so it is said with its neighbour
SENTENCE_PAUSE = 0.28  # s, between sentences
CLAUSE_PAUSE = 0.12  # s, where a long sentence had to be cut
QUIET = 0.01  # of full scale; softer sound at the ends is cut away
EDGE = SAMPLE_RATE * 30 // 1000  # samples kept around the sound
FADE = SAMPLE_RATE * 5 // 1000  # samples, against clicks
SLOWEST, FASTEST = 0.25, 4.0  # as OpenAI's speech API
CLAUSE_END = re.compile(r"[;:,.!?—…](?= )")
VOICES = Path(__file__).with_name("voices")

Pcm = NDArray[np.int16]


class UnknownVoice(ValueError):
    """No voice of that name."""


class Speech:
    """A speaker with several voices. Threads may share it; they take turns by the sentence."""

    def __init__(self, model: Path, vocabulary: Mapping[str, int], voices: Path, threads: int) -> None:
        """`voices`: a folder of float arrays (510, 1, 256), NAME.npy."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Waiting threads would otherwise burn the cores that the other models need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._vocabulary = vocabulary
        self._styles = {path.stem: np.load(path) for path in sorted(voices.glob("*.npy"))}
        self._phonemizers: dict[Accent, Phonemizer] = {}
        self._turn = threading.Lock()

    @classmethod
    def load(cls, threads: int = 1, cache: Path | None = None, voices: Path = VOICES) -> Self:
        """The packaged model, joined in `cache`, with the voices of a folder. Raises WeightsError."""
        vocabulary = json.loads(kokoro_vocab().read_text(encoding="utf-8"))["vocab"]
        return cls(kokoro_model(cache or default_cache()), vocabulary, voices, threads)

    @property
    def voices(self) -> list[str]:
        """Names of the voices."""
        return list(self._styles)

    def synthesise(
        self, text: str, voice: str, speed: float = 1.0, accent: Accent | None = None
    ) -> Iterator[Pcm]:
        """Speech as it is made, one array a sentence; nothing when `text` holds nothing that can be said.

        A caller that stops iterating stops the work. `accent` names a lexicon, else the voice's own.
        Raises UnknownVoice, and ValueError for a speed outside 0.25 to 4, before the first sentence.
        """
        if voice not in self._styles:
            raise UnknownVoice(
                f"There is no voice called {voice!r}. Choose one of: {', '.join(self.voices)}."
            )
        if not SLOWEST <= speed <= FASTEST:
            raise ValueError(f"The speed {speed} is out of range. Choose one from {SLOWEST} to {FASTEST}.")
        return self._spoken(text, self._styles[voice], speed, accent or ("gb" if voice[0] == "b" else "us"))

    def _spoken(self, text: str, styles: NDArray[np.float16], speed: float, accent: Accent) -> Iterator[Pcm]:
        phonemizer = self._phonemizer(accent)
        pause = 0.0
        for sentence in whole_sentences(phonemizer(sentence) for sentence in sentences(text)):
            for piece in pieces(sentence) if pause else early_pieces(sentence):
                with self._turn:
                    sound = self._infer(piece, styles, speed)
                if sound.size:
                    silence = np.zeros(int(pause * SAMPLE_RATE / speed), np.int16)
                    yield np.concatenate([silence, to_pcm(sound)])
                pause = CLAUSE_PAUSE
            pause = SENTENCE_PAUSE

    def _phonemizer(self, accent: Accent) -> Phonemizer:
        with self._turn:
            if accent not in self._phonemizers:
                self._phonemizers[accent] = Phonemizer(accent)
            return self._phonemizers[accent]

    def _infer(self, phonemes: str, styles: NDArray[np.float16], speed: float) -> NDArray[np.float32]:
        """One run of the network, with the silence at both ends cut."""
        tokens = [self._vocabulary[sound] for sound in phonemes if sound in self._vocabulary]
        if not tokens:
            return np.zeros(0, np.float32)
        inputs = {
            "tokens": np.array([[0, *tokens, 0]], dtype=np.int64),
            "style": styles[min(len(tokens), STYLE_ROWS) - 1].reshape(1, STYLE_SIZE).astype(np.float32),
            "speed": np.array([speed], dtype=np.float32),
        }
        return trimmed(np.asarray(self._session.run(None, inputs)[0], dtype=np.float32).ravel())


def whole_sentences(phonemes: Iterator[str]) -> Iterator[str]:
    """The sentences, each one too short to sound natural alone joined to the next."""
    waiting = ""
    for sentence in phonemes:
        waiting = f"{waiting} {sentence}".strip()
        if len(waiting) >= SHORTEST_PIECE:
            yield waiting
            waiting = ""
    if waiting:
        yield waiting


def pieces(phonemes: str, longest: int = LONGEST_PIECE) -> Iterator[str]:
    """Cut at the last punctuation that fits, else at the last space, else anywhere."""
    while len(phonemes) > longest:
        head = phonemes[: longest + 1]
        marks = [match.end() for match in CLAUSE_END.finditer(head)]
        space = head.rfind(" ")
        cut = marks[-1] if marks and marks[-1] > longest // 4 else space if space > 0 else longest
        yield phonemes[:cut]
        phonemes = phonemes[cut:].lstrip()
    if phonemes:
        yield phonemes


def early_pieces(phonemes: str) -> Iterator[str]:
    """As `pieces`, but the first one is short if punctuation allows."""
    marks = [match.end() for match in CLAUSE_END.finditer(phonemes[: FIRST_PIECE + 1])]
    if len(phonemes) > FIRST_PIECE and marks and marks[-1] >= SHORTEST_PIECE:
        yield phonemes[: marks[-1]]
        phonemes = phonemes[marks[-1] :].lstrip()
    yield from pieces(phonemes)


def trimmed(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without the silence before and after, faded in and out over 5 ms."""
    loud = np.flatnonzero(np.abs(sound) > QUIET)
    if not loud.size:
        return sound[:0]
    kept = sound[max(0, loud[0] - EDGE) : loud[-1] + EDGE].copy()
    ramp = np.linspace(0, 1, min(FADE, kept.size), dtype=np.float32)
    kept[: ramp.size] *= ramp
    kept[-ramp.size :] *= ramp[::-1]
    return kept


def to_pcm(sound: NDArray[np.float32]) -> Pcm:
    """[-1, 1] to 16 bits, loud peaks clipped."""
    return (np.clip(sound, -1, 1) * 32767).astype(np.int16)
