"""Clips for tests: tones in any container, and the files that people and attackers really send."""

from __future__ import annotations

import io
import struct

import av
import numpy as np
from numpy.typing import NDArray


def tone(seconds: float, rate: int = 16_000, hertz: float = 440.0, level: float = 0.3) -> NDArray[np.float32]:
    """A sine, shape (samples,)."""
    at = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hertz * at)).astype(np.float32)


def wav(
    data: bytes,
    *,
    rate: int = 16_000,
    channels: int = 1,
    bits: int = 16,
    codec: int = 1,
    size: int | None = None,
) -> bytes:
    """A WAV file around raw samples; `size` is what the header claims."""
    block = channels * bits // 8
    claimed = len(data) if size is None else size
    form = struct.pack(
        "<HHIIHH", codec, channels, rate & 0xFFFFFFFF, (rate * block) & 0xFFFFFFFF, block, bits
    )
    head = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", claimed)
    return b"RIFF" + struct.pack("<I", min(len(head) + claimed, 0xFFFFFFFF)) + head + data


def pcm16(floats: NDArray[np.float32]) -> bytes:
    """Samples of -1 to 1 as little-endian 16-bit integers."""
    return (floats * 32767).astype("<i2").tobytes()


def plain_wav(seconds: float = 1.0) -> bytes:
    """A tone as 16 kHz mono 16-bit WAV."""
    return wav(pcm16(tone(seconds)))


def encoded(
    container: str,
    codec: str,
    *,
    seconds: float = 2.0,
    rate: int = 48_000,
    layout: str = "mono",
    level: float = 0.3,
) -> bytes:
    """The same tone in every channel, in any container FFmpeg writes."""
    channels = av.AudioLayout(layout).nb_channels
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout=layout)
        wanted = stream.codec_context.format.name
        resampler = av.AudioResampler(
            wanted, layout, rate, frame_size=stream.codec_context.frame_size or 4_096
        )
        block = tone(min(seconds, 1.0), rate, level=level)
        packed = np.repeat(block[:, None], channels, axis=1).reshape(1, -1)
        for _ in range(max(1, round(seconds))):
            frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
            frame.sample_rate = rate
            for part in resampler.resample(frame):
                file.mux(stream.encode(part))
        for part in resampler.resample(None):
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return out.getvalue()


def flac_of_silence(hours: float) -> bytes:
    """A decompression bomb: one FLAC frame of silence repeated with its number, no samples ever in memory."""
    out = io.BytesIO()
    rate, block = 8_000, 16_384
    with av.open(out, "w", format="flac") as file:
        stream = file.add_stream("flac", rate=rate, layout="mono")
        stream.codec_context.options = {"frame_size": str(block)}
        silence = np.zeros((1, block), np.int16)
        for _ in range(round(hours * 3600 * rate / block)):
            frame = av.AudioFrame.from_ndarray(silence, format="s16", layout="mono")
            frame.sample_rate = rate
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()
