"""What a file's own headers say, read without a codec: plain WAV, and files that end too soon.

Nothing here trusts a number: every offset is checked against the bytes that are really there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_PCM = 0x0001
_EXTENSIBLE = 0xFFFE
_PCM_SUBFORMAT = bytes.fromhex("0100000000001000800000aa00389b71")
_UNKNOWN_SIZE = 0x7FFF_0000  # recorders that cannot seek back write 0, 0xFFFFFFFF or something near 2 GiB
_TOLERATED_LOSS = 4_096  # bytes: writers round sizes, and nobody misses an eighth of a second
_ISO_TOP_LEVEL = {
    b"ftyp",
    b"moov",
    b"mdat",
    b"free",
    b"skip",
    b"wide",
    b"uuid",
    b"moof",
    b"sidx",
    b"styp",
    b"mfra",
}


@dataclass(frozen=True)
class WavHeader:
    """Where a WAV file's samples lie and what they are; sizes in bytes."""

    codec: int
    channels: int
    rate: int
    bits: int
    offset: int
    declared: int | None  # None: the writer did not know
    available: int

    def is_pcm16(self, rate: int, channels: int) -> bool:
        """Say whether the samples are 16-bit integers at `rate` Hz in `channels` channels."""
        return (self.codec, self.rate, self.channels, self.bits) == (_PCM, rate, channels, 16)


def read_wav_header(data: bytes) -> WavHeader | None:
    """Find format and samples in a little-endian RIFF file; None when it is not one, or is malformed."""
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return None
    form: tuple[int, int, int, int] | None = None
    for name, start, size in _riff_chunks(data):
        if name == b"fmt " and form is None:
            form = _read_format(data[start : start + min(size, 40)])
        elif name == b"data":
            if form is None:
                return None
            left = len(data) - start
            declared = None if size == 0 or size >= _UNKNOWN_SIZE else size
            available = left if declared is None else min(left, declared)
            return WavHeader(*form, offset=start, declared=declared, available=available)
    return None


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, first byte, declared size) of each chunk that starts within the file."""
    at = 12
    while at + 8 <= len(data):
        size = struct.unpack_from("<I", data, at + 4)[0]
        yield data[at : at + 4], at + 8, size
        at += 8 + size + size % 2


def _read_format(chunk: bytes) -> tuple[int, int, int, int] | None:
    """Return (codec, channels, rate in Hz, bits a sample) of a `fmt ` chunk."""
    if len(chunk) < 16:
        return None
    codec, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if codec == _EXTENSIBLE and chunk[24:40] == _PCM_SUBFORMAT:
        codec = _PCM
    return codec, channels, rate, bits


def is_truncated(data: bytes) -> bool:
    """Say whether the headers promise clearly more than the file holds (WAV, MP4 and M4A).

    A FLAC tells by its sample count, while decoding. MP3, Ogg, AAC and WebM play as far as they go. A file
    that is nothing but a header is not truncated but empty, which decoding finds.
    """
    wav = read_wav_header(data)
    if wav is not None:
        return wav.declared is not None and 0 < wav.available < wav.declared - _TOLERATED_LOSS
    return _iso_is_truncated(data)


def _iso_is_truncated(data: bytes) -> bool:
    """Walk an MP4's top-level boxes: one that reaches past the end, or samples without an index, is a cut."""
    if data[4:8] != b"ftyp":
        return False
    at, names = 0, set()
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if size == 1 and at + 16 <= len(data):
            size = struct.unpack_from(">Q", data, at + 8)[0]
        elif size == 0:
            size = len(data) - at
        if name not in _ISO_TOP_LEVEL or size < 8:
            return False
        names.add(name)
        at += size
    return at > len(data) + _TOLERATED_LOSS or (b"mdat" in names and b"moov" not in names)
