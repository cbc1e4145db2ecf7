"""The child that decodes, `python -m model.audio_worker SECONDS`: clips in on stdin, PCM out on stdout.

It may be killed at any time. It ends at the end of its input, so it cannot outlive its parent, and it limits
its own memory and its time per clip, so that a crafted file takes neither from the rest.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import BinaryIO

from model.audio import REPLY_HEAD, REQUEST_HEAD, decode, time_limit
from model.audio_limits import BYTES_PER_SAMPLE, AudioError, Limits

_MEMORY = 512 * 1024 * 1024  # bytes of private memory beside the file and its sound; 100 MB are needed
_GRACE_S = 1.0  # the parent gives up first; this is for when the parent is gone


def main() -> None:
    """Answer clips until the input ends."""
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
        limits = Limits(**json.loads(options))
        _limit_memory(limits)
        allowed_s = time_limit(float(sys.argv[1]), limits) + _GRACE_S
        signal.setitimer(signal.ITIMER_REAL, allowed_s)  # SIGALRM ends the process, inside C code too
        ok, payload = _answer(data, limits)
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout.buffer.write(REPLY_HEAD.pack(ok, len(payload)))
        sys.stdout.buffer.write(payload)
        sys.stdout.buffer.flush()
        del data, payload  # not while waiting for the next


def _answer(data: bytes, limits: Limits) -> tuple[bool, bytes | memoryview]:
    try:
        return True, decode(data, limits).data.cast("B")
    except AudioError as error:
        return False, json.dumps({"code": error.code, "message": error.message}).encode()


def _read(stream: BinaryIO, size: int) -> bytes | None:
    """Read exactly `size` bytes; None when the input ended first."""
    data = stream.read(size)
    return data if len(data) == size else None


def _limit_memory(limits: Limits) -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    most = _MEMORY + limits.max_bytes + 2 * BYTES_PER_SAMPLE * limits.max_samples
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


if __name__ == "__main__":
    main()
