"""A recording on its way to an engine, as a multipart form that is written while it is sent.

Two hours of sound are 230 MB: they are held once, not once more for the form.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence

from backend.http1 import Body
from model.audio import Pcm, wav_head

_CHUNK = 2**18  # samples: half a megabyte


class Upload(Body):
    """A clip as `clip.wav` in the field `file`, after text fields; may be sent again."""

    def __init__(self, fields: Mapping[str, str | Sequence[str]], pcm: Pcm) -> None:
        boundary = secrets.token_hex(16)
        head = bytearray()
        for name, values in fields.items():
            for value in [values] if isinstance(values, str) else values:
                head += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
                head += value.encode() + b"\r\n"
        head += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="clip.wav"\r\n'
            "Content-Type: audio/wav\r\n\r\n"
        ).encode()
        self._head = bytes(head) + wav_head(pcm)
        self._pcm = pcm
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        length = len(self._head) + pcm.nbytes + len(self._tail)
        super().__init__(f"multipart/form-data; boundary={boundary}", self._parts, length)

    async def _parts(self) -> AsyncGenerator[bytes]:
        yield self._head
        for at in range(0, self._pcm.size, _CHUNK):
            yield self._pcm[at : at + _CHUNK].astype("<i2", copy=False).tobytes()
        yield self._tail
