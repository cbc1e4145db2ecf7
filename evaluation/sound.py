"""A clip as systems hear it: any container to 16 kHz mono, cut as AudioBench cuts it, and sent as WAV.

To write down, speech over `pieces_s` (30 s, as AudioBench does it) is cut into plain pieces, whose answers
are joined by spaces; for other tasks the first `head_s` count. What is under 1 s gets 1 s of silence behind
it. A piece is decoded when it is asked for, so that an hour of sound is never held.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from evaluation.errors import DataError

SAMPLE_RATE = 16_000  # Hz
SHORTEST = SAMPLE_RATE  # samples; below, as many of silence are added
LONGEST_S = 4 * 3_600.0  # a clip that claims more is damage
_FULL_SCALE = 32_768  # the int16 step count that stands for 1.0
_MAX_BAD_PACKETS = 50
# Containers that hold sound and cannot point anywhere else: no playlists.
_FORMATS = "wav,mp3,flac,ogg,matroska,webm,mov,mp4,aac,aiff,amr,caf,w64,au"

Pcm = NDArray[np.int16]


def pieces(audio: bytes, *, pieces_s: float = 0.0, head_s: float = 0.0) -> Iterator[Pcm]:
    """What is sent of a clip, shape (samples,) each: all pieces, or the head alone; 0 for no bound.

    Raises DataError where there is no sound in it, or more than LONGEST_S.
    """
    size = round(pieces_s * SAMPLE_RATE)
    most = round((head_s or LONGEST_S) * SAMPLE_RATE)
    held: list[Pcm] = []
    waiting = total = 0  # samples
    for block in _blocks(audio):
        fresh = block[: most - total]
        total += fresh.size
        held.append(fresh)
        waiting += fresh.size
        while size and waiting > size:  # more than: a clip of exactly 30 s is one piece
            joined = np.concatenate(held)
            yield joined[:size]
            held = [joined[size:]]
            waiting -= size
        if fresh.size < block.size:
            if not head_s:
                raise DataError(f"The clip is longer than {LONGEST_S / 3_600:g} hours. Cut it.")
            break
    if not total:
        raise DataError("The clip holds no sound.")
    if waiting:
        yield _padded(np.concatenate(held))


def wav(samples: Pcm, rate: int = SAMPLE_RATE) -> bytes:
    """A 16-bit WAV file of mono samples, `rate` of them a second."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


def _padded(samples: Pcm) -> Pcm:
    """AudioBench adds a whole second to what is shorter, rather than filling it up to one."""
    if samples.size >= SHORTEST:
        return samples
    return np.concatenate([samples, np.zeros(SHORTEST, np.int16)])


def _blocks(audio: bytes) -> Iterator[Pcm]:
    """Decoded sound of about a second a block. Raises DataError."""
    try:
        with av.open(io.BytesIO(audio), "r", options={"format_whitelist": _FORMATS}) as container:
            if not container.streams.audio:
                raise DataError("The clip's file holds no sound.")
            yield from _resampled(_frames(container))
    except (DataError, GeneratorExit):
        raise
    except Exception as error:  # PyAV raises ValueError, IndexError, OSError and more on bad files
        raise DataError(f"The clip cannot be read as sound ({type(error).__name__}).") from None


def _frames(container: Any) -> Iterator[Any]:
    """Decoded frames, stepping over a few damaged packets."""
    bad = 0
    for packet in container.demux(container.streams.audio[0]):
        try:
            yield from packet.decode()
        except (av.error.InvalidDataError, av.error.EOFError):
            bad += 1
            if bad > _MAX_BAD_PACKETS:
                raise


def _resampled(frames: Iterator[Any]) -> Iterator[Pcm]:
    resampler = shape = None
    for frame in frames:
        now = (frame.format.name, frame.sample_rate, frame.layout.name)
        if now != shape:
            if resampler is not None:
                yield from map(_mono, resampler.resample(None))
            resampler = av.AudioResampler("flt", frame.layout, SAMPLE_RATE, frame_size=SAMPLE_RATE)
            shape = now
        frame.pts = None  # timestamps lie; only samples count
        assert resampler is not None
        yield from map(_mono, resampler.resample(frame))
    if resampler is not None:
        yield from map(_mono, resampler.resample(None))


def _mono(frame: Any) -> Pcm:
    """Channels averaged, since FFmpeg's own downmix adds 3 dB; packed floats to int16, shape (samples,)."""
    floats = frame.to_ndarray().reshape(-1, frame.layout.nb_channels).mean(axis=1)
    scaled = np.clip(np.rint(np.nan_to_num(floats) * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1)
    pcm: Pcm = scaled.astype(np.int16)
    return pcm
