"""What the voice chat remembers of one visitor: the talk, what is played, and what listens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ui.client import AnswerStream
from ui.session import Part
from ui.voice.exchange import Exchange, Utterance, Voice
from ui.voice.hearing import to_wav
from ui.voice.levels import RATE, Pcm
from ui.voice.listener import Listener
from ui.voice.news import News
from ui.voice.playback import Playback

END_WAIT_S = 0.8
END_WAITS_S = (0.3, 2.0)
KEPT_TURNS = 60
KEPT_SOUND_BYTES = 8_000_000  # of what was said and answered; older turns are kept in words only
MODEL_LIMIT_S = 300.0  # where a model names none
JOINED_BY_S = 0.3


@dataclass(frozen=True)
class Asker:
    """All that is needed to have an utterance answered apart from any run of the page."""

    # Uploads what was said, tells the file's id, and asks; it runs on the answer's thread.
    open: Callable[[bytes, list[Exchange], Callable[[str], None]], AnswerStream]
    forget: Callable[[list[str]], None]  # has files deleted, and does not wait for it
    voice: Voice | None
    longest_s: float
    left_alone_s: float
    hears_words: bool
    model: str = ""  # its id


@dataclass
class VoiceChat(Part):
    """One visitor's talk. The page, the answers' threads and the microphone's loop share it."""

    turns: list[Exchange] = field(default_factory=list)
    news: News = field(default_factory=News)
    playback: Playback = field(default_factory=Playback)
    hands_free: bool = False
    listener: Listener | None = None
    asker: Asker | None = None
    shown: Exchange | None = None  # the turn that was brought into view
    end_wait_s: float = END_WAIT_S
    note: str = ""  # the key of a sentence about what was just said
    seen: int = 0  # what of the news the page has drawn
    fresh: bool = False  # the whole page is being drawn
    live: bool = False  # it is drawn again and again
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def last(self) -> Exchange | None:
        """The turn that is talked about now."""
        return self.turns[-1] if self.turns else None

    @property
    def busy(self) -> bool:
        """Whether an answer or its sound is on its way."""
        return (self.last is not None and not self.last.over) or self.playback.active

    def say(self, pcm: Pcm, quiet_s: float, cut: bool = False) -> None:
        """Take what was said, its last word `quiet_s` ago, and have it answered."""
        asker = self.asker
        if asker is None:
            return
        with self._lock:
            self.interrupt()
            pcm = self._with_what_was_cut_short(pcm)
            longest = round(asker.longest_s * RATE)
            now = time.monotonic()
            said = Utterance(
                to_wav(pcm[:longest]),
                min(len(pcm), longest) / RATE,
                now - quiet_s,
                now,
                cut or len(pcm) > longest,
            )
            self._ask(said, asker)

    def ask_again(self, turn: Exchange) -> None:
        """Have the same utterance answered anew."""
        with self._lock:
            if self.asker is None or turn not in self.turns:
                return
            self.interrupt()
            self.turns.remove(turn)
            now = time.monotonic()
            said = turn.said
            self._ask(Utterance(said.wav, said.seconds, now, now, said.cut), self.asker)

    def barge_in(self) -> None:
        """Stop the answer and its sound, for the visitor speaks."""
        with self._lock:
            if self.last is not None and not self.last.over:
                self.last.goes_on = not self.last.text
            self.interrupt()

    def interrupt(self) -> None:
        """Stop the answer and its sound."""
        with self._lock:
            self.note = ""
            if self.last is not None and not self.last.over:
                self.last.stop()
            self.playback.stop()
        self.news.tell()

    def replay(self, turn: Exchange) -> None:
        """Play an answer once more."""
        if self.last is None or self.last.over:
            self.playback.start(turn, replay=True)
            self.news.tell()

    def look(self) -> None:
        """Say that a page shows all this, and settle what its threads have found out."""
        now = time.monotonic()
        if self.listener is not None:
            self.listener.looked_at = now
            self.listener.replying = self.playback.active
        with self._lock:
            if self.last is None:
                return
            self.last.looked_at = now
            if self.last.no_words and self.last.over:
                self.turns.pop()
                self.playback.stop()
                self.note = "voice.no_words"

    @property
    def muted(self) -> bool:
        """Whether the open microphone is left unheard."""
        return self.listener is not None and self.listener.muted

    def mute(self, muted: bool) -> None:
        """Leave the open microphone unheard, or hear it again."""
        if self.listener is not None:
            self.listener.muted = muted

    def wait_for_end(self, seconds: float) -> None:
        """Take a pause of so many seconds for the end of a turn."""
        self.end_wait_s = seconds
        if self.listener is not None:
            self.listener.detector.end_wait_s = seconds

    def hang_up(self) -> None:
        """Listen no more."""
        if self.listener is not None:
            self.listener.close()
            self.listener = None

    def clear(self) -> None:
        """Forget everything."""
        self.interrupt()
        self.asker = None
        self.hands_free = False
        self.hang_up()
        self.turns.clear()

    def _ask(self, said: Utterance, asker: Asker) -> None:
        before = [turn for turn in self.turns if turn.text]
        files: list[str] = []
        turn = Exchange(
            said,
            lambda: asker.open(said.wav, before, files.append),
            asker.voice,
            self.news,
            asker.left_alone_s,
            asker.hears_words,
            lambda: asker.forget(files),
            model=asker.model,
        )
        self.turns.append(turn)
        del self.turns[:-KEPT_TURNS]
        self._forget_old_sound()
        self.playback.start(turn)
        self.news.tell()

    def _with_what_was_cut_short(self, pcm: Pcm) -> Pcm:
        """Return the sound after that of the turn before, where one went on speaking before its answer."""
        last = self.last
        if last is None or not last.goes_on or last.text:
            return pcm
        self.turns.pop()
        before = np.frombuffer(last.said.wav[44:], "<i2")
        return np.concatenate([before, np.zeros(round(JOINED_BY_S * RATE), np.int16), pcm])

    def _forget_old_sound(self) -> None:
        room = KEPT_SOUND_BYTES
        for turn in reversed(self.turns):
            room -= turn.sound_bytes
            if room < 0:
                turn.forget_sound()
