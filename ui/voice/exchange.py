"""One turn of a spoken talk: what was said, the answer, and the answer's sound, piece by piece."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ui.answer import Answer
from ui.client import AnswerStream
from ui.voice.news import News
from ui.voice.sentences import Sentences, language_of, speakable
from ui.wire import ClientError

FOLLOW_S = 0.25
# What the model is asked about what was said. The embedded model knows it by its first words.
INSTRUCTION = "Answer what is said, as in a conversation, in one or two short spoken sentences."


@dataclass(frozen=True)
class Utterance:
    """What a visitor said."""

    wav: bytes  # 16 kHz, mono
    seconds: float
    ended_at: float  # when the last word was over, by time.monotonic
    handed_at: float  # when it was known that the turn was over
    cut: bool = False  # it was longer than the model takes


@dataclass(frozen=True)
class Voice:
    """Who reads answers aloud. `say` makes a WAV of a text and may raise ClientError."""

    say: Callable[[str], bytes]
    languages: tuple[str, ...]  # two-letter codes; empty: any


@dataclass(frozen=True)
class Piece:
    """A part of an answer to be spoken. Without a WAV the browser's own voice says it."""

    index: int
    text: str
    language: str
    wav: bytes = b""


@dataclass
class Moments:
    """When things happened, by time.monotonic; 0: not yet."""

    heard: float = 0.0  # the last word of what the visitor said was written down
    first_word: float = 0.0  # of the answer
    first_sound: float = 0.0  # was made
    playing: float = 0.0  # the browser says that the sound began


@dataclass
class Exchange:
    """A turn. Threads of its own follow the answer and have it spoken; a page's run looks at it."""

    said: Utterance
    opener: Callable[[], AnswerStream]
    voice: Voice | None
    news: News
    left_alone_s: float
    hears_words: bool  # the model tells the words that it heard before it answers
    on_over: Callable[[], None]  # called when the model needs what was said no more, perhaps twice
    pieces: list[Piece] = field(default_factory=list)
    whole: bool = False  # no more pieces will come
    no_words: bool = False
    moments: Moments = field(default_factory=Moments)
    voice_error: ClientError | None = None
    model: str = ""  # its id
    goes_on: bool = False  # the visitor went on speaking before the answer began

    def __post_init__(self) -> None:
        self.looked_at = time.monotonic()
        self._stopped = threading.Event()
        self._texts: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.answer = Answer(INSTRUCTION, self._open, self.left_alone_s)
        threading.Thread(target=self._follow, name="voice-follow", daemon=True).start()
        threading.Thread(target=self._speak, name="voice-speak", daemon=True).start()

    @property
    def heard(self) -> str:
        """The words that the model heard; empty where it does not tell."""
        return self.answer.progress.heard.strip()

    @property
    def text(self) -> str:
        """The answer as far as it has come."""
        return "" if self.no_words else self.answer.progress.text.strip()

    @property
    def over(self) -> bool:
        """Whether nothing more will come, neither text nor sound."""
        return self.whole and self.answer.progress.ended

    @property
    def sound_bytes(self) -> int:
        """How much memory its sound takes."""
        return len(self.said.wav) + sum(len(piece.wav) for piece in self.pieces)

    def forget_sound(self) -> None:
        """Keep the words only."""
        self.said = replace(self.said, wav=b"")
        self.pieces = []

    def stop(self) -> None:
        """End the answer and its sound now; what came is kept."""
        self._stopped.set()
        self.whole = True
        self.answer.stop()
        self.news.tell()

    def _open(self) -> AnswerStream:
        stream = self.opener()
        if self._stopped.is_set():
            self.on_over()
        return stream

    def _follow(self) -> None:
        """Watch the answer grow and hand on each sentence as soon as it is whole."""
        sentences, taken = Sentences(), 0
        progress = self.answer.progress
        while True:
            if time.monotonic() - self.looked_at > self.left_alone_s:
                self.stop()
            if progress.heard and not self.moments.first_word:
                self.moments.heard = time.monotonic()
            if progress.text and not self.moments.first_word:
                self.moments.first_word = time.monotonic()
                if self.hears_words and not progress.heard:
                    self.no_words = True
                    self.stop()
            for text in () if self._stopped.is_set() else sentences.feed(progress.text[taken:]):
                self._texts.put(text)
            taken = len(progress.text)
            self.news.tell()
            if progress.ended:
                break
            progress = self.answer.wait(progress.version, FOLLOW_S)
        self.on_over()
        for text in () if self._stopped.is_set() or progress.phase != "done" else sentences.flush():
            self._texts.put(text)
        self._texts.put("")

    def _speak(self) -> None:
        """Make the sound of one piece after another; without a voice hand the text to the browser's."""
        while (text := self._texts.get()) and not self._stopped.is_set():
            language = language_of(text)
            wav = self._sound(text, language)
            if self._stopped.is_set():
                return
            self.moments.first_sound = self.moments.first_sound or time.monotonic()
            self.pieces.append(Piece(len(self.pieces), speakable(text), language, wav))
            self.news.tell()
        self.whole = True
        self.news.tell()

    def _sound(self, text: str, language: str) -> bytes:
        voice = self.voice
        if voice is None or self.voice_error or (voice.languages and language not in voice.languages):
            return b""
        try:
            return voice.say(speakable(text))
        except ClientError as error:
            self.voice_error = error
            return b""


def messages(before: Sequence[Exchange], file_id: str) -> list[dict[str, Any]]:
    """Return a talk as messages of the OpenAI API: earlier turns in words, the last as its sound."""
    told: list[dict[str, Any]] = []
    for turn in before:
        if turn.heard and turn.text:
            told.append({"role": "user", "content": turn.heard})
            told.append({"role": "assistant", "content": turn.text})
    clip = {"type": "file", "file": {"file_id": file_id}}
    told.append({"role": "user", "content": [clip, {"type": "text", "text": INSTRUCTION}]})
    return told
