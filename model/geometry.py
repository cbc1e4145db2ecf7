"""How 30 s of sound become 100 tokens: every number derived from the one before (paper, section 3.2)."""

from __future__ import annotations

SAMPLE_RATE = 16_000  # Hz, Whisper's and so everybody's
WINDOW_SECONDS = 30  # s that the audio encoder hears at once
WINDOW_SAMPLES = WINDOW_SECONDS * SAMPLE_RATE  # 480,000 samples
HOP = 160  # samples between two mel frames: 10 ms
WINDOW_FRAMES = WINDOW_SAMPLES // HOP  # 3,000 mel frames
ENCODER_STRIDE = 2  # mel frames to one state: Whisper's second convolution
WINDOW_STATES = WINDOW_FRAMES // ENCODER_STRIDE  # 1,500 encoder states of 20 ms
STACK = 15  # states to one audio token in the published models: 300 ms
STATE_SAMPLES = HOP * ENCODER_STRIDE  # 320 samples to one encoder state
WINDOW_TOKENS = WINDOW_STATES // STACK  # 100 audio tokens

MAX_SECONDS = 300  # s in one clip of a prompt
MIN_SAMPLES = SAMPLE_RATE // 10  # 0.1 s: less holds no word, and normalising it would amplify noise
MAX_CLIPS = 8  # in one prompt


class ClipError(ValueError):
    """A clip cannot be put into a prompt; the message says why and what to do."""


def windows_in(samples: int) -> int:
    """How many windows a clip of `samples` fills, the last one padded."""
    return -(-samples // WINDOW_SAMPLES)


def states_in(samples: int, tail: int | None = None) -> int:
    """How many encoder states a window that holds `samples` of sound has.

    `tail`: the states that are heard after the sound, rounded up to a whole `STACK`; None: all of 30 s.
    """
    if tail is None:
        return WINDOW_STATES
    wanted = -(-samples // STATE_SAMPLES) + tail
    return min(WINDOW_STATES, -(-wanted // STACK) * STACK)


def states_of(samples: int, tail: int | None = None) -> list[int]:
    """The same for each window of a clip of `samples`: only the last may be short."""
    whole = windows_in(samples) - 1
    return [WINDOW_STATES] * whole + [states_in(samples - whole * WINDOW_SAMPLES, tail)]


def tokens_of(samples: int, stack: int, tail: int | None = None) -> int:
    """How many audio tokens of `stack` states a clip of `samples` takes."""
    return sum(states_of(samples, tail)) // stack


def check_samples(samples: int, max_seconds: float = MAX_SECONDS, name: str = "The audio") -> None:
    """Raise ClipError unless a clip of `samples` at 16 kHz may stand in a prompt: never cut in silence."""
    if samples == 0:
        raise ClipError(f"{name} is empty. Send a clip that holds sound.")
    if samples < MIN_SAMPLES:
        raise ClipError(
            f"{name} lasts {samples / SAMPLE_RATE:.2f} s; at least {MIN_SAMPLES / SAMPLE_RATE:g} s are "
            "needed. Send a longer clip."
        )
    if samples > max_seconds * SAMPLE_RATE:
        raise ClipError(
            f"{name} lasts {samples / SAMPLE_RATE:.1f} s, and this model takes at most {max_seconds:g} s in "
            "a prompt. Cut it, or send it to /v1/audio/transcriptions, which takes any length."
        )
