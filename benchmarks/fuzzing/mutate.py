"""Bytes made wrong, by a seeded lot: flipped, cut, doubled, moved, and numbers at their extremes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

EXTREMES = (
    *(0, 1, 2, 3, 7, 8, 15, 16, 24, 32, 63, 64, 100, 127, 128, 255, 256, 1_000, 4_096),
    *(0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 44_100, 192_001, 655_350, 2**20, 2**24 - 1, 2**28 - 1),
    *(2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1),
)
_MOST = 256 * 2**10  # bytes that doubling makes

Mutation = Callable[[Random, bytes], bytes]


def flipped(rng: Random, data: bytes) -> bytes:
    """Some bits turned over."""
    spoilt = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64)) if data else 0):
        spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
    return bytes(spoilt)


def truncated(rng: Random, data: bytes) -> bytes:
    """The beginning only, or the end only."""
    at = rng.randint(0, len(data))
    return data[:at] if rng.random() < 0.8 else data[at:]


def without(rng: Random, data: bytes) -> bytes:
    """A piece left out."""
    begin, end = _piece(rng, data)
    return data[:begin] + data[end:]


def doubled(rng: Random, data: bytes) -> bytes:
    """A piece several times."""
    begin, end = _piece(rng, data)
    times = min(rng.choice((2, 2, 3, 10, 1_000)), _MOST // max(1, end - begin))
    return data[:begin] + data[begin:end] * max(1, times) + data[end:]


def overwritten(rng: Random, data: bytes) -> bytes:
    """A piece of one byte, or of chance."""
    begin, end = _piece(rng, data)
    new = rng.randbytes(end - begin) if rng.random() < 0.5 else rng.choice((b"\0", b"\xff", b"\x80", b"A"))
    return data[:begin] + (new * (end - begin))[: end - begin] + data[end:]


def inserted(rng: Random, data: bytes) -> bytes:
    """Bytes of chance that were not there."""
    at = rng.randint(0, len(data))
    return data[:at] + rng.randbytes(rng.choice((1, 2, 3, 4, 16, 300))) + data[at:]


def numbered(rng: Random, data: bytes) -> bytes:
    """An extreme number somewhere, of one to eight bytes in either order."""
    size = rng.choice((1, 2, 4, 8))
    at = rng.randint(0, max(0, len(data) - size))
    number = rng.choice(EXTREMES) % (1 << 8 * size)
    written = number.to_bytes(size, "little" if rng.random() < 0.5 else "big")
    return data[:at] + written + data[at + size :]


def moved(rng: Random, data: bytes) -> bytes:
    """Two pieces that follow one another, changed about."""
    begin, middle, end = sorted(rng.randint(0, len(data)) for _ in range(3))
    return data[:begin] + data[middle:end] + data[begin:middle] + data[end:]


ANY: Sequence[Mutation] = (
    flipped,
    flipped,
    truncated,
    without,
    doubled,
    overwritten,
    inserted,
    numbered,
    numbered,
    moved,
)


def spoilt(rng: Random, data: bytes, times: int) -> bytes:
    """Several of them, one after another."""
    for _ in range(times):
        data = rng.choice(ANY)(rng, data)
    return data


def _piece(rng: Random, data: bytes) -> tuple[int, int]:
    """Where a piece begins and ends: mostly a short one."""
    begin = rng.randint(0, len(data))
    return begin, min(len(data), begin + int(2 ** rng.uniform(0, 12)))
