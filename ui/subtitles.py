"""A transcript as files to take away: SRT, WebVTT, plain text and JSON, each safe for whatever was said."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator

from ui.wire import Segment

SHORTEST_MS = 1  # of a subtitle: WebVTT wants each to end after it begins


def srt(segments: Iterable[Segment]) -> str:
    """SubRip: numbered, with commas before the milliseconds."""
    return "".join(
        f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{text.replace('-->', '→')}\n\n"
        for number, (start, end, text) in enumerate(_subtitles(segments), 1)
    )


def vtt(segments: Iterable[Segment]) -> str:
    """WebVTT: dots before the milliseconds; what would be markup is written as characters."""
    return "WEBVTT\n\n" + "".join(
        f"{_clock(start, '.')} --> {_clock(end, '.')}\n{_without_markup(text)}\n\n"
        for start, end, text in _subtitles(segments)
    )


def plain(segments: Iterable[Segment]) -> str:
    """The words, a segment a line."""
    return "".join(f"{text}\n" for _, _, text in _subtitles(segments))


def as_json(segments: Iterable[Segment], text: str, seconds: float) -> str:
    """OpenAI's `verbose_json` as far as it is known here: the whole text, and times in seconds."""
    found = [
        {"id": number, "start": start / 1000, "end": end / 1000, "text": said}
        for number, (start, end, said) in enumerate(_subtitles(segments))
    ]
    whole = {"duration": seconds, "text": _one_line(text), "segments": found}
    return json.dumps(whole, ensure_ascii=False, indent=2) + "\n"


def _subtitles(segments: Iterable[Segment]) -> Iterator[tuple[int, int, str]]:
    """Yield start and end in milliseconds and the text on one line of each segment that says something."""
    for segment in segments:
        if text := _one_line(segment.text):
            start = max(0, round(segment.start * 1000))
            yield start, max(start + SHORTEST_MS, round(segment.end * 1000)), text


def _one_line(text: str) -> str:
    """The text without line ends, which end a subtitle, and without what no file of text can hold."""
    bare = "".join(sign for sign in text if sign.isspace() or unicodedata.category(sign) not in ("Cc", "Cs"))
    return " ".join(bare.split())


def _without_markup(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(milliseconds: int, mark: str) -> str:
    """Hours, of which there may be a hundred, minutes, seconds and milliseconds."""
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{mark}{rest:03}"
