"""Recordings made wrong with knowledge of their containers: sizes that lie, extreme rates, files in files."""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Callable, Sequence
from random import Random

from benchmarks.fuzzing import mutate
from benchmarks.fuzzing.sounds import chunk, id3, pcm, wav

_MOST = 400 * 2**10  # bytes of a recording; the run takes fewer
_FLOATS = (0.0, -1.0, 1e-9, 8_000.0, 655_350.0, 4e9, 1e308, float("nan"), float("inf"))
_MATCHES = 6  # of a mark in one file

# What marks a number, at which byte from the mark's first it stands, and how it is written (as for `struct`).
_FIELDS: dict[bytes, Sequence[tuple[int, str]]] = {
    rb"RIFF": [(4, "<I")],
    rb"ds64": [(4, "<I"), (8, "<Q"), (16, "<Q"), (24, "<Q"), (32, "<I")],
    rb"fmt ": [(4, "<I"), (8, "<H"), (10, "<H"), (12, "<I"), (16, "<I"), (20, "<H"), (22, "<H"), (24, "<H")],
    rb"data": [(4, "<I"), (4, "<I"), (4, ">Q"), (16, "<Q")],
    rb"LIST|JUNK|fact|html": [(4, "<I")],
    rb"OggS": [(4, "B"), (5, "B"), (6, "<Q"), (14, "<I"), (18, "<I"), (26, "B"), (27, "B"), (28, "B")],
    rb"OpusHead": [(8, "B"), (9, "B"), (10, "<H"), (12, "<I"), (16, "<H"), (18, "B")],
    rb"\x01vorbis": [(7, "<I"), (11, "B"), (12, "<I"), (16, "<I"), (28, "B")],
    rb"OpusTags|\x03vorbis": [(8, "<I"), (12, "<I")],
    rb"fLaC": [(4, "B"), (5, "B"), (6, ">H"), (8, ">H"), (10, ">H"), (12, ">I"), (18, ">I"), (22, ">I")],
    rb"\xff[\xf8\xf9]": [(2, "B"), (3, "B"), (4, "B")],
    rb"ID3": [(3, "B"), (5, "B"), (6, ">I")],
    rb"\xff[\xe2-\xf3\xfa\xfb]": [(1, "B"), (2, "B"), (3, "B"), (4, ">I")],
    rb"Xing|Info|LAME": [(4, ">I"), (8, ">I"), (12, ">I")],
    rb"\x1aE\xdf\xa3|\x18S\x80g|\x16T\xaek|\x1fC\xb6u": [(4, "B"), (5, ">I"), (5, ">Q")],
    rb"\xb5\x88|D\x89\x88": [(1, "B"), (2, ">d")],  # the rate, the duration
    rb"\x9f\x81|\xd7\x81|\x83\x81|bd\x81": [(1, "B"), (2, "B")],  # channels, numbers, kinds, bits
    rb"\xa3[\x40-\xff]|c\xa2": [(1, "B"), (2, ">H")],  # blocks, and the codec's own data
    rb"ftyp|moov|trak|mdia|minf|stbl|mdat|udta|esds|wave|edts": [(-4, ">I"), (4, ">I")],
    rb"mvhd|mdhd|tkhd|elst": [(-4, ">I"), (4, "B"), (16, ">I"), (20, ">I"), (24, ">I")],
    rb"mp4a|alac": [(-4, ">I"), (4, ">I"), (20, ">H"), (22, ">H"), (28, ">I"), (36, ">I"), (56, ">I")],
    rb"stsd|stts|stsc|stsz|stco|co64": [(-4, ">I"), (8, ">I"), (12, ">I"), (16, ">I"), (20, ">I")],
    rb"FORM|COMM|SSND": [(4, ">I"), (8, ">H"), (10, ">I"), (14, ">H"), (16, ">H"), (18, ">Q")],
    rb"\.snd": [(4, ">I"), (8, ">I"), (12, ">I"), (16, ">I"), (20, ">I")],
    rb"caff": [(4, ">H"), (12, ">Q")],
    rb"desc": [(4, ">Q"), (12, ">d"), (24, ">I"), (28, ">I"), (32, ">I"), (36, ">I"), (40, ">I")],
    rb"#!AMR\n": [(6, "B")],
}  # fmt: skip
_MARKS = [(re.compile(mark, re.DOTALL), fields) for mark, fields in _FIELDS.items()]


def one_number(rng: Random, data: bytes) -> bytes:
    """A number of the container's own, set to an extreme."""
    places = [
        (found.start() + offset, form)
        for mark, fields in _MARKS
        for found in list(mark.finditer(data))[:_MATCHES]
        for offset, form in fields
        if 0 <= found.start() + offset <= len(data) - struct.calcsize(form)
    ]
    if not places:
        return mutate.numbered(rng, data)
    at, form = rng.choice(places)
    size = struct.calcsize(form)
    extreme = rng.choice(_FLOATS) if form[-1] == "d" else rng.choice(mutate.EXTREMES) % 256**size
    return _with_sums(data[:at] + struct.pack(form, extreme) + data[at + size :])


def joined(rng: Random, data: bytes, other: bytes) -> bytes:
    """Two files in one: one after the other, or the head of one with the body of the other."""
    if rng.random() < 0.5:
        return data + other
    at = rng.choice((4, 12, 44, rng.randint(0, len(data))))
    return data[:at] + other[at:]


def wrapped(rng: Random, data: bytes, other: bytes) -> bytes:
    """One file within another: in a chunk, in a tag, after words."""
    fronts = (
        wav(pcm(), before=chunk(rng.choice((b"LIST", b"JUNK", b"id3 ", b"data")), other)),
        id3(rng.choice((len(other), 0, 2**28 - 1))) + other + data,
        b"<html><script>alert(1)</script>" + data,
        b"#EXTM3U\nfile:///etc/passwd\n" + data,
        chunk(b"RIFF", b"WAVE" + data, rng.choice(mutate.EXTREMES) % 2**32),
        other[: rng.randint(0, 16)] + data,
    )
    return rng.choice(fronts)


def repeated(rng: Random, data: bytes, _: bytes) -> bytes:
    """The same again and again: long, or larger than is taken."""
    return data * min(rng.choice((2, 10, 60, 400)), _MOST // max(1, len(data)) or 1)


def shaped(rng: Random, _: bytes, __: bytes) -> bytes:
    """A WAV file of any shape, its samples of chance, which may be as many as it says."""
    bits, channels = rng.choice((8, 16, 24, 32, 64, 12, 1, 0)), rng.choice((1, 1, 2, 6, 7, 8, 255, 65_535))
    rate = rng.choice((0, 1, 3_999, 4_000, 8_000, 16_000, 44_100, 192_000, 192_001, 2**32 - 1))
    data = rng.randbytes(int(2 ** rng.uniform(0, 19)))[: _MOST - 64]
    size = rng.choice((None, None, 0, len(data) // 2, 2 * len(data), 2**31 - 1, 2**32 - 1))
    codec = rng.choice((1, 1, 1, 3, 6, 7, 2, 17, 85, 0xFFFE, rng.randrange(65_536)))
    channels = channels if bits * channels < 8 * 65_536 else 1
    return wav(data, rate=rate, channels=channels, bits=bits, codec=codec, size=size)


_TWO: Sequence[Callable[[Random, bytes, bytes], bytes]] = (joined, wrapped, repeated, shaped)


def spoilt(rng: Random, seeds: Sequence[bytes]) -> bytes:
    """A recording from the corpus, as it is or made wrong several times."""
    data = rng.choice(seeds)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 5))):
        lot = rng.random()
        if lot < 0.5:
            data = one_number(rng, data)
        elif lot < 0.8:
            data = mutate.spoilt(rng, data, 1)
        else:
            data = rng.choice(_TWO)(rng, data, rng.choice(seeds))
    return data[:_MOST]


def _with_sums(data: bytes) -> bytes:
    """Write the checksum of every Ogg page anew, so that what was changed is read and not skipped."""
    if not data.startswith(b"OggS"):
        return data
    starts = [found.start() for found in re.finditer(rb"OggS", data)] + [len(data)]
    pages = []
    for begin, end in itertools.pairwise(starts):
        page = bytearray(data[begin:end])
        if len(page) >= 27:
            page[22:26] = bytes(4)
            page[22:26] = struct.pack("<I", _crc(page))
        pages.append(bytes(page))
    return b"".join(pages)


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 2**31 else crc << 1) & 0xFFFFFFFF
        table.append(crc)
    return table


_TABLE = _crc_table()


def _crc(page: bytes | bytearray) -> int:
    """Ogg's own: no reflection, no inversion."""
    crc = 0
    for byte in page:
        crc = (crc << 8 & 0xFFFFFFFF) ^ _TABLE[crc >> 24 ^ byte]
    return crc
