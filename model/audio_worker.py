"""The child that decodes, `python -m model.audio_worker SECONDS`: clips in on stdin, PCM out on stdout.

It may be killed at any time. It ends at the end of its input, so it cannot outlive its parent, and it limits
its own memory and its time per clip, so that a crafted file takes neither from the rest.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import BinaryIO

from model.audio import REPLY_HEAD, REQUEST_HEAD, decode
from model.audio_limits import AudioError, Limits

_MEMORY_LIMIT = 512 * 1024 * 1024  # bytes of private memory; a clip at every limit needs about 150 MB
_GRACE_S = 1.0  # the parent gives up first; this is for when the parent is gone


def main() -> None:
    """Answer clips until the input ends."""
    _limit_memory()
    time_limit_s = float(sys.argv[1]) + _GRACE_S
    import model.audio_libav  # noqa: F401  loaded before the first clip comes

    while True:
        head = _read(sys.stdin.buffer, REQUEST_HEAD.size)
        if head is None:
            return
        options_size, data_size = REQUEST_HEAD.unpack(head)
        options = _read(sys.stdin.buffer, options_size)
        data = _read(sys.stdin.buffer, data_size)
        if options is None or data is None:
            return
        signal.setitimer(signal.ITIMER_REAL, time_limit_s)  # SIGALRM ends the process, inside C code too
        ok, payload = _answer(data, Limits(**json.loads(options)))
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout.buffer.write(REPLY_HEAD.pack(ok, len(payload)))
        sys.stdout.buffer.write(payload)
        sys.stdout.buffer.flush()


def _answer(data: bytes, limits: Limits) -> tuple[bool, bytes]:
    try:
        return True, decode(data, limits).tobytes()
    except AudioError as error:
        return False, json.dumps({"code": error.code, "message": error.message}).encode()


def _read(stream: BinaryIO, size: int) -> bytes | None:
    """Read exactly `size` bytes; None when the input ended first."""
    data = stream.read(size)
    return data if len(data) == size else None


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_LIMIT, _MEMORY_LIMIT))


if __name__ == "__main__":
    main()
