"""What was read in a window: text, and the times of its words."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from model.long_audio.spans import Span

# Scripts that put no spaces between words: each sign stands for itself.
_SOLID = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef"
_CLOSING = "、。，！？；：」』）”’"
_WORD = re.compile(rf"\s*[{_SOLID}][{_CLOSING}]*|\s*[^\s{_SOLID}]+[{_CLOSING}]*")


@dataclass(frozen=True)
class Word:
    """A word with its times in seconds from the start of the clip; the texts join to the whole."""

    text: str
    start: float
    end: float
    probability: float = 1.0


@dataclass
class Reading:
    """A window that has been read: its text, and word times when they were asked for."""

    span: Span
    language: str
    text: str = ""
    words: list[Word] = field(default_factory=list)
    no_speech: float = 0.0

    @property
    def compression(self) -> float:
        """How much the text repeats itself, as Whisper measures it."""
        raw = self.text.encode()
        return len(raw) / len(zlib.compress(raw)) if raw else 0.0


def gap(before: str, after: str) -> str:
    """Return what belongs between the texts of two windows: a space, or nothing."""
    if not before or not after or before[-1].isspace() or after[0].isspace():
        return ""
    return "" if re.match(f"[{_SOLID}]", before[-1]) and re.match(f"[{_SOLID}]", after[0]) else " "


def shared_out(text: str, speech: Sequence[Span]) -> list[Word]:
    """Estimate the times of words: each gets speech in proportion to its letters, and no pause does.

    For models that tell what was said in a window and not when.
    """
    texts = _WORD.findall(text)
    letters = sum(len(word.strip()) for word in texts)
    if not letters or not speech:
        return []
    pace = sum(span.seconds for span in speech) / letters
    words: list[Word] = []
    said = 0
    for word in texts:
        begin, said = said, said + len(word.strip())
        start, end = _moment(begin * pace, speech), _moment(said * pace, speech, is_end=True)
        words.append(Word(word, round(start, 2), round(end, 2)))
    return words


def on_speech(words: Sequence[Word], speech: Sequence[Span]) -> list[Word]:
    """Take the pauses off the times of words: a recogniser draws out words over them."""
    times = []
    for word in words:
        start, end = word.start, word.end
        for pause_start, pause_end in _pauses(speech):
            if pause_start <= start < pause_end < end:
                start = pause_end
            elif start < pause_start < end <= pause_end:
                end = pause_start
        times.append(Word(word.text, round(start, 2), round(end, 2), word.probability))
    return times


def _pauses(speech: Sequence[Span]) -> list[tuple[float, float]]:
    """Where nobody speaks: before, between and after the stretches of speech."""
    edges = [0.0, *(edge for span in speech for edge in (span.start, span.end)), math.inf]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _moment(spoken: float, speech: Sequence[Span], *, is_end: bool = False) -> float:
    """The time in the clip after `spoken` seconds of speech; at a pause its end, or for an end its start."""
    for span in speech:
        if spoken < span.seconds - 1e-6 or (is_end and spoken <= span.seconds + 1e-6):
            return span.start + min(spoken, span.seconds)
        spoken -= span.seconds
    return speech[-1].end
