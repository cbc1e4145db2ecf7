"""The requests that are sent: chats in pieces, so that clips that differ cost the client nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.load.answers import Tag
from benchmarks.table1.clips import Clips

PATH = "/v1/chat/completions"
MODEL = "bench"
_FIXED = 45  # bytes of WAV before the part that differs: its head, and one byte so that base64 comes out even
_VARIED = 12  # bytes that differ from clip to clip: six samples


@dataclass(frozen=True)
class Host:
    """Where requests go."""

    host: str
    port: int
    key: str = ""

    def head(self, path: str, size: int, kind: str = "application/json", visitor: str = "") -> bytes:
        """Return the head of a POST."""
        fields = [
            f"POST {path} HTTP/1.1",
            f"host: {self.host}:{self.port}",
            f"content-type: {kind}",
            f"content-length: {size}",
        ]
        fields += [f"authorization: Bearer {self.key}"] if self.key else []
        fields += [f"x-meralion-visitor: {visitor}"] if visitor else []
        return ("\r\n".join(fields) + "\r\n\r\n").encode()

    def post(
        self, path: str, pieces: Sequence[bytes], kind: str = "application/json", visitor: str = ""
    ) -> list[bytes]:
        """Return a whole request in pieces."""
        return [self.head(path, sum(map(len, pieces)), kind, visitor), *pieces]


class Sound:
    """Clips of one length, any number of them, all different."""

    def __init__(self, seconds: float) -> None:
        """Cut one clip from the samples; the others differ from it in six samples."""
        self.wav = Clips(0).wav(seconds)
        self._before = base64.b64encode(self.wav[:_FIXED])
        self._after = base64.b64encode(self.wav[_FIXED + _VARIED :])

    def base64(self, number: int) -> list[bytes]:
        """Return clip `number` as a WAV file in base64, in pieces."""
        return [self._before, base64.b64encode(number.to_bytes(_VARIED, "little")), self._after]

    def upload(self, number: int) -> tuple[str, bytes]:
        """Return clip `number` as a form to upload: its content type and its body."""
        varied = number.to_bytes(_VARIED, "little")
        wav = self.wav[:_FIXED] + varied + self.wav[_FIXED + _VARIED :]
        edge = "benchmark-edge"
        part = f'--{edge}\r\ncontent-disposition: form-data; name="%s"%s\r\n\r\n'
        fields = (part % ("purpose", "")).encode() + b"user_data\r\n"
        file = (part % ("file", '; filename="clip.wav"')).encode() + wav + f"\r\n--{edge}--\r\n".encode()
        return f"multipart/form-data; boundary={edge}", fields + file


def chat(tag: Tag, recording: Sequence[bytes] = (), **fields: Any) -> list[bytes]:
    """Return a streamed chat's body in pieces; `recording` is the JSON of a part, in pieces."""
    before = {"model": MODEL, "stream": True, **fields}
    start = json.dumps(before)[:-1] + ', "messages": [{"role": "user", "content": '
    text = json.dumps({"type": "text", "text": f"Please answer. {tag}"})
    if not recording:
        return [(start + json.dumps(f"Please answer. {tag}") + "}]}").encode()]
    return [start.encode() + b"[", *recording, f", {text}]}}]}}".encode()]


def inline(clip: Sequence[bytes]) -> list[bytes]:
    """Return the part of a recording in base64."""
    return [b'{"type": "input_audio", "input_audio": {"data": "', *clip, b'", "format": "wav"}}']


def reference(file_id: str) -> list[bytes]:
    """Return the part of a recording that was uploaded."""
    return [json.dumps({"type": "file", "file": {"file_id": file_id}}).encode()]
