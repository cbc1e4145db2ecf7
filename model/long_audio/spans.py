"""Where somebody speaks: Silero's voice activity detector, run over sound of any length by the minute.

The detector hears 32 ms at a time and remembers what came before, so blocks give exactly what the whole
would, and hours of sound are never held as floats. Its weights lie in the faster-whisper package.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.audio_limits import FULL_SCALE, SAMPLE_RATE

Sound = NDArray[np.int16] | NDArray[np.float32]  # (samples,) at 16 kHz; floats in [-1, 1]

FRAME = 512  # samples that the detector judges at once: 32 ms
MEMORY = 64  # samples of the frame before that it hears again
STATE = (1, 1, 128)
BLOCK_FRAMES = 1_875  # 60 s

SPEECH = 0.4  # a frame at least this likely to be speech begins a span
QUIET = 0.25  # below it, somebody may have stopped
PAUSE_FRAMES = 8  # 256 ms of quiet end a span
SHORTEST_FRAMES = 2  # 64 ms; what is shorter is a click
PAD = 1_920  # samples, 120 ms, added on both sides: less than half of the shortest pause

LONGEST_SPEECH = 898  # frames, 28.7 s, without a pause; longer speech is cut
SHORT_PAUSE_FRAMES = 3  # 96 ms of quiet: a breath between words, too short to end a span by itself
WEAK_FRAMES = 5  # 160 ms over which a voice is weakest, where there is no breath


@dataclass(frozen=True)
class Span:
    """A stretch of a clip, in seconds from its start."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start

    def of(self, sound: Sound) -> Sound:
        """Its samples in the clip: spans that touch share none and leave none out."""
        return sound[round(self.start * SAMPLE_RATE) : round(self.end * SAMPLE_RATE)]


def speech_spans(sound: Sound) -> Iterator[Span]:
    """Yield the stretches in which somebody speaks, in order, none longer than 29 s and none overlapping.

    Speech without a pause for longer is cut in its longest breath, and where there is none, where the voice
    is weakest: such spans touch.
    """
    talk: _Talk | None = None
    at = 0  # the frame
    for chances, levels in _heard(sound):
        for chance, level in zip(chances.tolist(), levels.tolist(), strict=True):
            if talk is None:
                if chance >= SPEECH:
                    talk = _Talk(at)
            elif talk.is_over(at, chance):
                if talk.quiet_from - talk.first >= SHORTEST_FRAMES:
                    yield _span(talk, talk.quiet_from, sound.size)
                talk = None
            elif at - talk.first >= LONGEST_SPEECH:
                cut = talk.best_cut()
                yield _span(talk, cut, sound.size, is_cut=True)
                talk = talk.after(cut)
            if talk is not None:
                talk.chances.append(chance)
                talk.levels.append(level)
            at += 1
    if talk is not None and at - talk.first >= SHORTEST_FRAMES:
        yield _span(talk, at, sound.size)


class _Talk:
    """Speech that goes on: where it began and how likely and how loud each of its frames is."""

    def __init__(self, first: int, *, is_rest: bool = False) -> None:
        self.first = first
        self.is_rest = is_rest  # of longer speech that was cut: it starts at the cut, without a pad
        self.quiet_from = 0  # the frame since which it has been quiet; 0 while it is not
        self.chances: list[float] = []
        self.levels: list[float] = []

    def is_over(self, at: int, chance: float) -> bool:
        """Take note of the next frame; say whether the pause before it is long enough to end the span."""
        if chance >= SPEECH:
            self.quiet_from = 0
        elif chance < QUIET:
            self.quiet_from = self.quiet_from or at
            return at - self.quiet_from >= PAUSE_FRAMES
        return False

    def best_cut(self) -> int:
        """The frame to cut at: in a breath, rather a late one; else where the voice is weakest."""
        middle = len(self.chances) // 2
        breaths = list(_breaths(self.chances))
        late = [breath for breath in breaths if breath[0] >= middle]
        if breaths:
            begin, end = max(late or breaths, key=lambda breath: breath[1] - breath[0])
            return self.first + (begin + end) // 2
        smooth = np.convolve(self.levels[middle:], np.ones(WEAK_FRAMES), "valid")
        return self.first + middle + int(smooth.argmin()) + WEAK_FRAMES // 2

    def after(self, cut: int) -> _Talk:
        """What is left of it after a cut."""
        rest = _Talk(cut, is_rest=True)
        rest.quiet_from = self.quiet_from if self.quiet_from > cut else 0
        rest.chances = self.chances[cut - self.first :]
        rest.levels = self.levels[cut - self.first :]
        return rest


def _breaths(chances: list[float]) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of each quiet stretch in speech that is long enough to be cut in."""
    begin: int | None = None
    for at, chance in enumerate([*chances, 1.0]):
        if chance < QUIET:
            begin = at if begin is None else begin
        elif begin is not None:
            if begin > 0 and at - begin >= SHORT_PAUSE_FRAMES:
                yield begin, at
            begin = None


def _span(talk: _Talk, end: int, samples: int, *, is_cut: bool = False) -> Span:
    first = talk.first * FRAME - (0 if talk.is_rest else PAD)
    last = end * FRAME + (0 if is_cut else PAD)
    return Span(max(0, first) / SAMPLE_RATE, min(samples, last) / SAMPLE_RATE)


def _heard(sound: Sound) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yield for each block how likely each frame is to be speech, and how loud it is, both (frames,)."""
    session = _detector()
    hidden = cell = np.zeros(STATE, np.float32)
    memory = np.zeros(MEMORY, np.float32)
    for start in range(0, sound.size, BLOCK_FRAMES * FRAME):
        block = _floats(sound[start : start + BLOCK_FRAMES * FRAME])
        frames = np.pad(block, (0, -block.size % FRAME)).reshape(-1, FRAME)
        before = np.vstack([memory, frames[:-1, -MEMORY:]])
        memory = frames[-1, -MEMORY:]
        heard = {"input": np.hstack([before, frames]), "h": hidden, "c": cell}
        chances, hidden, cell = session.run(None, heard)
        yield chances, np.sqrt(np.square(frames).mean(axis=1))


def _floats(block: Sound) -> NDArray[np.float32]:
    if block.dtype == np.int16:
        return block.astype(np.float32) / np.float32(FULL_SCALE)
    return block.astype(np.float32, copy=False)


@functools.cache
def _detector() -> Any:
    """Load the detector: 2 MB, shared by all requests."""
    import onnxruntime

    package = importlib.util.find_spec("faster_whisper")  # found, not imported: it would load far more
    if package is None or package.origin is None:
        raise ModuleNotFoundError(
            "The voice activity detector is missing: install faster-whisper, which brings it."
        )
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    weights = Path(package.origin).parent / "assets" / "silero_vad_v6.onnx"
    return onnxruntime.InferenceSession(weights, options, ["CPUExecutionProvider"])
