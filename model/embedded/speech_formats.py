"""Speech as bytes: WAV, raw PCM, MP3, Opus (in Ogg) and FLAC, each sent while it is still being made."""

import io
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from model.embedded.speech import SAMPLE_RATE

Pcm = NDArray[np.int16]
BYTES_PER_SAMPLE = 2
UNKNOWN_SIZE = 0xFFFFFFFF  # what players expect of a WAV whose length is not known yet


class Codec(NamedTuple):
    """How PyAV is to write a format."""

    encoder: str
    container: str
    sample_format: str
    bit_rate: int | None  # bit/s
    container_options: dict[str, str]


CODECS = {
    # Without the Xing frame, which would need a seek back to the start.
    "mp3": Codec("libmp3lame", "mp3", "s16p", 64_000, {"write_xing": "0", "id3v2_version": "0"}),
    "opus": Codec("libopus", "ogg", "s16", 32_000, {}),
    "flac": Codec("flac", "flac", "s16", None, {}),
}
MEDIA_TYPES = {
    "wav": "audio/wav",
    "pcm": "audio/pcm",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
}


def encode(pcm: Pcm, format_: str) -> bytes:
    """All of `pcm` (mono, 24 kHz) in one of MEDIA_TYPES' formats; a WAV says its true length."""
    if format_ == "wav":
        return wav_header(pcm.size * BYTES_PER_SAMPLE) + pcm.tobytes()
    return b"".join(encode_stream([pcm], format_))


def encode_stream(sounds: Iterable[Pcm], format_: str) -> Iterator[bytes]:
    """Bytes of the format as the sound comes. Raises ValueError at once for an unknown format."""
    writers: dict[str, Callable[[Iterable[Pcm]], Iterator[bytes]]] = {"wav": _wav, "pcm": _raw}
    if format_ in writers:
        return writers[format_](sounds)
    if format_ not in CODECS:
        raise ValueError(f"There is no format {format_!r}. Choose one of: {', '.join(MEDIA_TYPES)}.")
    return _compressed(sounds, CODECS[format_])


def wav_header(data_bytes: int | None = None) -> bytes:
    """The 44 bytes before 24 kHz mono PCM16; None when the length is not known yet."""
    riff, data = (UNKNOWN_SIZE,) * 2 if data_bytes is None else (data_bytes + 36, data_bytes)
    form = struct.pack(
        "<4sIHHIIHH", b"fmt ", 16, 1, 1, SAMPLE_RATE, SAMPLE_RATE * BYTES_PER_SAMPLE, BYTES_PER_SAMPLE, 16
    )
    return struct.pack("<4sI4s", b"RIFF", riff, b"WAVE") + form + struct.pack("<4sI", b"data", data)


def _raw(sounds: Iterable[Pcm]) -> Iterator[bytes]:
    return (sound.astype("<i2").tobytes() for sound in sounds)


def _wav(sounds: Iterable[Pcm]) -> Iterator[bytes]:
    yield wav_header()
    yield from _raw(sounds)


class _Outlet(io.RawIOBase):
    """A file that can only be written on; what was written is taken away with `take`."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._written += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


def _compressed(sounds: Iterable[Pcm], codec: Codec) -> Iterator[bytes]:
    outlet = _Outlet()
    with av.open(
        outlet, "w", format=codec.container, options=codec.container_options | {"fflags": "+bitexact"}
    ) as container:
        stream = container.add_stream(
            codec.encoder, rate=SAMPLE_RATE, layout="mono", format=codec.sample_format
        )
        if codec.bit_rate:
            stream.bit_rate = codec.bit_rate
        written = 0
        for sound in sounds:
            frame = av.AudioFrame.from_ndarray(
                sound.reshape(1, -1), format=codec.sample_format, layout="mono"
            )
            frame.sample_rate = SAMPLE_RATE
            frame.pts = written
            written += sound.size
            container.mux(stream.encode(frame))
            if ready := outlet.take():
                yield ready
        container.mux(stream.encode(None))
    if rest := outlet.take():
        yield rest
