"""Sound that a model made, as a browser wants it."""

from __future__ import annotations

import struct

RIFF_HEAD = 12  # bytes: "RIFF", the size of what follows, "WAVE"
CHUNK_HEAD = 8  # bytes: a name, the size of what follows


def with_true_length(wav: bytes) -> bytes:
    """Return a WAV that says how long it is.

    One that was sent while it was made could not know, and a player would show hours. What is no such WAV
    comes back as it is.
    """
    if wav[:4] != b"RIFF" or wav[8:RIFF_HEAD] != b"WAVE":
        return wav
    at = RIFF_HEAD
    while at + CHUNK_HEAD <= len(wav):
        name, size = struct.unpack_from("<4sI", wav, at)
        at += CHUNK_HEAD
        if name == b"data":
            held = len(wav) - at
            if 0 < size <= held:
                return wav
            return b"".join(
                (
                    b"RIFF",
                    struct.pack("<I", len(wav) - CHUNK_HEAD),
                    wav[8 : at - 4],
                    struct.pack("<I", held),
                    wav[at:],
                )
            )
        at += size + size % 2
    return wav
