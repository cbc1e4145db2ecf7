"""Where the speech is, and how a clip of any length is cut into windows that Whisper can read.

Whisper reads at most 30 s at once. A window ends where nobody speaks, so that no word is cut; only speech
without a pause for 29 s is cut where the voice is weakest.
"""

from dataclasses import dataclass

import numpy as np
from faster_whisper.vad import VadOptions, get_speech_timestamps
from numpy.typing import NDArray

from model.audio_limits import SAMPLE_RATE

LONGEST_WINDOW = 29.0  # s; Whisper's 30 s less the air around the speech
GOOD_PAUSE = 0.8  # s; a pause this long may end a window that holds enough
ENOUGH = 18.0  # s of window after which a good pause ends it: long context helps, late words do not
LONG_PAUSE = 3.0  # s; always ends a window: Whisper tends to stop at a long silence
AIR = 0.25  # s kept before and after the speech of a window

VAD = VadOptions(
    threshold=0.4,
    min_speech_duration_ms=60,
    min_silence_duration_ms=250,
    max_speech_duration_s=LONGEST_WINDOW,
    speech_pad_ms=120,
)


@dataclass(frozen=True)
class Span:
    """A stretch of a clip, in seconds from its start."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


def speech_spans(pcm: NDArray[np.float32]) -> list[Span]:
    """The stretches in which somebody speaks, by Silero's VAD; `pcm` is (samples,) at 16 kHz in [-1, 1]."""
    return [
        Span(found["start"] / SAMPLE_RATE, found["end"] / SAMPLE_RATE)
        for found in get_speech_timestamps(pcm, VAD)
    ]


def windows(spans: list[Span], clip_seconds: float) -> list[Span]:
    """Pack stretches of speech into windows of at most 29.5 s that end in pauses."""
    packed: list[Span] = []
    for span in spans:
        if packed and _belongs(packed[-1], span):
            packed[-1] = Span(packed[-1].start, span.end)
        else:
            packed.append(span)
    return [Span(max(0.0, window.start - AIR), min(clip_seconds, window.end + AIR)) for window in packed]


def _belongs(window: Span, span: Span) -> bool:
    pause = span.start - window.end
    if span.end - window.start > LONGEST_WINDOW or pause >= LONG_PAUSE:
        return False
    return not (pause >= GOOD_PAUSE and window.seconds >= ENOUGH)
