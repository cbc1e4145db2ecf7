"""A transcript with times, in the forms of OpenAI's transcription API."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from model.long_audio.readings import Reading, Word

LONGEST_LINE = 84  # characters: two lines of 42, as broadcasters do
LONGEST_SEGMENT = 7.0  # s on the screen
PAUSE = 0.6  # s between words that ends a segment
SENTENCE_END = (".", "?", "!", "。", "？", "！")
ABBREVIATIONS = ("mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "no.", "vs.", "a.m.", "p.m.")


@dataclass(frozen=True)
class Segment:
    """A subtitle: words said together."""

    words: tuple[Word, ...]
    window: Reading

    @property
    def start(self) -> float:
        """Seconds from the start of the clip."""
        return self.words[0].start

    @property
    def end(self) -> float:
        """Seconds from the start of the clip."""
        return max(self.words[-1].end, self.start)

    @property
    def text(self) -> str:
        """The words, on one line: an empty one would end a subtitle."""
        return " ".join("".join(word.text for word in self.words).split())

    @property
    def log_probability(self) -> float:
        """Mean over the words."""
        return sum(math.log(max(word.probability, 1e-6)) for word in self.words) / len(self.words)


def segments(windows: Iterable[Reading]) -> list[Segment]:
    """Cut windows with word times into subtitles: at sentence ends, pauses and the limits of a screen."""
    found: list[Segment] = []
    for window in windows:
        words: list[Word] = []
        for word in window.words:
            if words and _ends(words, word):
                found.append(Segment(tuple(words), window))
                words = []
            words.append(word)
        if words:
            found.append(Segment(tuple(words), window))
    return found


def _ends(words: list[Word], following: Word) -> bool:
    text = "".join(word.text for word in words)
    if following.text[:1] != " " and text.isascii():
        return False  # in the middle of a word or number; Chinese and its kin put no spaces
    sentence = text.endswith(SENTENCE_END) and text.lower().split()[-1] not in ABBREVIATIONS
    return (
        sentence
        or following.start - words[-1].end > PAUSE
        or following.end - words[0].start > LONGEST_SEGMENT
        or len(text) + len(following.text) > LONGEST_LINE
    )


def srt(found: list[Segment]) -> str:
    """SubRip."""
    return "".join(
        f"{number}\n{_clock(segment.start, ',')} --> {_clock(segment.end, ',')}\n{segment.text}\n\n"
        for number, segment in enumerate(found, 1)
    )


def vtt(found: list[Segment]) -> str:
    """WebVTT; `&` and `<` would be markup there."""
    return "WEBVTT\n\n" + "".join(
        f"{_clock(segment.start, '.')} --> {_clock(segment.end, '.')}\n"
        f"{segment.text.replace('&', '&amp;').replace('<', '&lt;')}\n\n"
        for segment in found
    )


def verbose(
    found: list[Segment], task: str, language: str, seconds: float, text: str, with_words: bool
) -> dict[str, Any]:
    """OpenAI's `verbose_json`; times in seconds."""
    body: dict[str, Any] = {
        "task": task,
        "language": language,
        "duration": round(seconds, 2),
        "text": text,
        "segments": [
            {
                "id": number,
                "seek": int(segment.window.span.start * 100),
                "start": segment.start,
                "end": segment.end,
                "text": segment.text,
                "tokens": [],
                "temperature": 0.0,
                "avg_logprob": round(segment.log_probability, 4),
                "compression_ratio": round(segment.window.compression, 3),
                "no_speech_prob": round(segment.window.no_speech, 4),
            }
            for number, segment in enumerate(found)
        ],
    }
    if with_words:
        body["words"] = [
            {"word": word.text.strip(), "start": word.start, "end": word.end}
            for segment in found
            for word in segment.words
        ]
    return body


def _clock(seconds: float, mark: str) -> str:
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{mark}{rest % 1000:03}"
