"""Speech to text: Whisper (int8, CTranslate2), its words given out while they are decoded.

faster-whisper yields whole segments; a visitor wants the first words at once. So a window is decoded a few
tokens at a time, each step continuing from the tokens before it. The steps grow, so that reading the old
tokens again stays cheap.

Whisper pads every input to 30 s. Its encoder takes shorter ones, at the price of errors when there is too
little air after the speech. What both choices cost and save on human speech is measured by
`python -m benchmarks.recogniser`, results in `benchmarks/results/recogniser.md`.
"""

import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_ctranslate2_storage
from numpy.typing import NDArray

from model.audio_limits import FULL_SCALE, SAMPLE_RATE
from model.embedded import missed
from model.long_audio.forms import Task
from model.long_audio.readings import Reading, Word, on_speech
from model.long_audio.spans import Span
from model.long_audio.windows import AIR, Window, cut

FRAMES_PER_SECOND = 100  # Whisper's mel frames
FULL_WINDOW = 30.0  # s
SHORTEST_WINDOW = 15.0  # s given to the encoder, at least
AIR_AFTER = 3.0  # s of silence after the speech, at least
FIRST_STEP = 6  # tokens decoded before the first words are given out
STEP_GROWTH = 2
LONGEST_STEP = 64
MOST_TOKENS = 224  # in a window: half of Whisper's context, as upstream
LOOP_TOKENS = 15  # a phrase said again and again for so many tokens, three times or more, is a loop
ENGLISH_ENOUGH = 0.25  # accented English is English when Whisper gives it at least this share

NOT_SPEECH = 0.85  # of Whisper's own belief that a window holds no speech; VAD has said otherwise before


@dataclass
class Recognised(Reading):
    """A window that has been read."""

    tokens: list[int] = field(default_factory=list)
    llm_ms: float = 0.0
    """Of the time that it took, what a language model wrote in: none of a recogniser's."""


class Recogniser:
    """A Whisper, shared by all requests: their steps take turns, so nobody waits for a whole clip."""

    def __init__(self, folder: Path, threads: int) -> None:
        """Load the model from a folder in faster-whisper's layout."""
        self._model = WhisperModel(
            str(folder), device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True
        )
        self._turn = threading.Lock()

    @property
    def languages(self) -> list[str]:
        """Codes of the languages that the model knows."""
        return sorted(self._model.supported_languages)

    def recognise(
        self,
        pcm: NDArray[np.int16],
        task: Task = "transcribe",
        language: str | None = None,
        word_times: bool = False,
        careful: bool = False,
    ) -> Iterator[str | Recognised]:
        """Read a clip, shape (samples,) at 16 kHz.

        Yields text as it is decoded (pieces that join to the whole) and a `Recognised` at the end of each
        window. A clip without speech yields nothing. A caller that stops iterating stops the work.
        `language` is a code such as "en"; without one the first window decides. `careful` looks for speech
        that was passed over, and so gives a window's text only when all of it was read.
        """
        for window in cut(pcm):
            if careful and task == "transcribe":
                reading = self._carefully(window, pcm, language)
                yield reading.text
            else:
                reading = yield from self._window(window, pcm, task, language, word_times)
            language = reading.language
            reading.words = on_speech(reading.words, window.speech)
            yield reading

    def _carefully(self, window: Window, pcm: NDArray[np.int16], language: str | None) -> Recognised:
        """Read a window with word times, and again where hardly a word was found in speech."""
        reading = _whole(self._window(window, pcm, "transcribe", language, True))
        for stretch in missed.passed_over(reading.words, window.speech):
            span = Span(max(window.start, stretch.start - AIR), min(window.end, stretch.end + AIR))
            again = _whole(self._window(span, pcm, "transcribe", reading.language, True))
            if missed.is_news(again.words, reading.words, stretch):
                reading.words = missed.put_in(again.words, reading.words, stretch, window.speech)
                reading.text = "".join(word.text for word in reading.words)
        return reading

    def _window(
        self, span: Span, pcm: NDArray[np.int16], task: Task, language: str | None, word_times: bool
    ) -> Generator[str, None, Recognised]:
        """Yield the text of a window as it is decoded; return all that is known of it."""
        piece = span.of(pcm).astype(np.float32) / np.float32(FULL_SCALE)
        with self._turn:
            encoded, frames = self._encode(piece)
            language = language or self._language(encoded)
        window = Recognised(span, language)
        tokenizer = Tokenizer(
            self._model.hf_tokenizer, self._model.model.is_multilingual, task=task, language=language
        )
        yield from self._decode(encoded, tokenizer, window)
        if word_times and window.tokens:
            with self._turn:
                window.words = self._align(encoded, tokenizer, window, frames)
        return window

    def _encode(self, piece: NDArray[np.float32]) -> tuple[Any, int]:
        """Encoder output of a window, and how many of its mel frames are sound."""
        wanted = min(FULL_WINDOW, max(SHORTEST_WINDOW, len(piece) / SAMPLE_RATE + AIR_AFTER))
        padded = np.zeros(int(wanted * SAMPLE_RATE), np.float32)
        piece = piece[: len(padded)]
        padded[: len(piece)] = piece
        mel = self._model.feature_extractor(padded, padding=0)
        mel = mel[:, : mel.shape[-1] // 2 * 2]  # the encoder halves the frames
        frames = len(piece) * FRAMES_PER_SECOND // SAMPLE_RATE
        return self._model.model.encode(get_ctranslate2_storage(mel[None])), frames

    def _language(self, encoded: Any) -> str:
        """The most likely language, English when it is likely enough: Singlish is not Malay."""
        if not self._model.model.is_multilingual:
            return "en"
        shares = {token[2:-2]: share for token, share in self._model.model.detect_language(encoded)[0]}
        return "en" if shares.get("en", 0.0) >= ENGLISH_ENOUGH else max(shares, key=shares.__getitem__)

    def _decode(self, encoded: Any, tokenizer: Tokenizer, window: Recognised) -> Iterator[str]:
        prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        step = FIRST_STEP
        given = ""
        while len(window.tokens) < MOST_TOKENS:
            with self._turn:
                result = self._model.model.generate(
                    encoded,
                    [prompt + window.tokens],
                    beam_size=1,
                    # CTranslate2 halves it, and counts what it is to continue.
                    max_length=2 * min(len(window.tokens) + step, MOST_TOKENS),
                    suppress_blank=not window.tokens,  # it would also forbid to end after an earlier step
                    return_no_speech_prob=not window.tokens,
                )[0]
            tokens = list(result.sequences_ids[0])
            if not window.tokens:
                window.no_speech = result.no_speech_prob
                if window.no_speech > NOT_SPEECH:
                    return
            finished = len(tokens) < len(window.tokens) + step
            window.tokens = without_loop(tokens)
            finished = finished or len(window.tokens) < len(tokens)
            # The last character may be half of a letter until the next token comes.
            text = tokenizer.decode(window.tokens).rstrip("\ufffd" if not finished else "")
            if len(text) > len(given):
                yield text[len(given) :]
                given = text
            if finished:
                break
            step = min(step * STEP_GROWTH, LONGEST_STEP)
        window.text = given

    def _align(self, encoded: Any, tokenizer: Tokenizer, window: Recognised, frames: int) -> list[Word]:
        (found,) = self._model.find_alignment(tokenizer, [window.tokens], encoded, frames)
        words = [
            Word(
                item["word"],
                round(min(window.span.start + float(item["start"]), window.span.end), 2),
                round(min(window.span.start + float(item["end"]), window.span.end), 2),
                float(item["probability"]),
            )
            for item in found
        ]
        return with_marks_joined([word for word in words if word.text.strip()])


def _whole(reading: Generator[str, None, Recognised]) -> Recognised:
    """Read to the end."""
    while True:
        try:
            next(reading)
        except StopIteration as end:
            found: Recognised = end.value
            return found


def with_marks_joined(words: list[Word]) -> list[Word]:
    """Put each mark, which Whisper times as a word of its own, to the word before it."""
    joined: list[Word] = []
    for word in words:
        if joined and not any(letter.isalnum() for letter in word.text) and word.text[0] != " ":
            last = joined[-1]
            joined[-1] = Word(last.text + word.text, last.start, last.end, last.probability)
        else:
            joined.append(word)
    return joined


def without_loop(tokens: list[int]) -> list[int]:
    """Cut a phrase that a model says again and again back to once; other text is left as it is."""
    for length in range(1, len(tokens) // 3 + 1):
        phrase = tokens[-length:]
        times = 1
        while tokens[-length * (times + 1) : -length * times] == phrase:
            times += 1
        if times >= 3 and times * length >= LOOP_TOKENS:
            return tokens[: len(tokens) - length * (times - 1)]
    return tokens
