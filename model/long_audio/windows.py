"""How sound of any length is cut into windows that an audio encoder of 30 s can read.

A window ends where nobody speaks, so that no word is cut; only speech without a pause for 29 s is cut inside
(see `spans`). Windows never overlap, and hold all speech. A small model, which would lose its thread in 29 s,
asks for shorter ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from model.audio_limits import SAMPLE_RATE
from model.long_audio.spans import Sound, Span, speech_spans

LONGEST_WINDOW = 29.0  # s; the encoder's 30 s less the air around the speech
GOOD_PAUSE = 0.8  # s; a pause this long may end a window that holds enough
ENOUGH = 18.0  # s of window after which a good pause ends it: long context helps, late words do not
LONG_PAUSE = 3.0  # s; always ends a window: models tend to stop at a long silence
AIR = 0.25  # s kept before and after the speech of a window


@dataclass(frozen=True)
class Window(Span):
    """A stretch of at most 29.5 s to read at once, and the speech in it."""

    speech: tuple[Span, ...]


def cut(sound: Sound, longest: float = LONGEST_WINDOW) -> Iterator[Window]:
    """Yield the windows of a clip, each as soon as its end is known; none when nobody speaks.

    `longest` is in seconds, at most 29; only speech without a pause makes a longer window than that.
    """
    yield from windows(speech_spans(sound), sound.size / SAMPLE_RATE, longest)


def windows(spans: Iterable[Span], clip_seconds: float, longest: float = LONGEST_WINDOW) -> Iterator[Window]:
    """Pack stretches of speech, none longer than 29 s, into windows that end in pauses."""
    packed: list[Span] = []
    free_from = 0.0  # s; air is shared with the window before
    for span in spans:
        if packed and not _belongs(packed, span, longest):
            middle = (packed[-1].end + span.start) / 2
            yield _window(packed, free_from, middle)
            packed, free_from = [], middle
        packed.append(span)
    if packed:
        yield _window(packed, free_from, clip_seconds)


def _belongs(packed: list[Span], span: Span, longest: float) -> bool:
    begun, ended = packed[0].start, packed[-1].end
    pause = span.start - ended
    if span.end - begun > longest or pause >= LONG_PAUSE:
        return False
    share = longest / LONGEST_WINDOW
    return not (pause >= GOOD_PAUSE * share and ended - begun >= ENOUGH * share)


def _window(packed: list[Span], free_from: float, free_to: float) -> Window:
    start, end = max(free_from, packed[0].start - AIR), min(free_to, packed[-1].end + AIR)
    return Window(start, end, tuple(packed))
