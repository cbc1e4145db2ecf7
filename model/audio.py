"""The one way in for sound: any container a browser or a phone makes, as 16 kHz mono PCM.

Controller and embedded engine both decode here. Bytes from strangers are bounded while they are decoded,
never after: headers may lie about length, rate and channels, so samples are counted as they come.

    decoder = Decoder()                    # decodes in a child process that may die
    pcm = await decoder.decode(data)       # int16, 16,000 samples a second
    decode(data)                           # the same in this process, for scripts and the child itself
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import struct
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from dataclasses import asdict
from pathlib import Path

import numpy as np

from model import audio_containers
from model.audio_limits import BYTES_PER_SAMPLE, SAMPLE_RATE, AudioError, Limits, Pcm, truncated

__all__ = [
    "SAMPLE_RATE",
    "AudioError",
    "Decoder",
    "Limits",
    "Pcm",
    "decode",
    "decode_plain",
    "pcm_sha256",
    "seconds",
    "wav_bytes",
    "wav_head",
]

REQUEST_HEAD = struct.Struct("<II")  # bytes of JSON with limits, bytes of the file
REPLY_HEAD = struct.Struct("<?I")  # decoded or refused, bytes of PCM or of JSON with code and message
_PIPE_BYTES = 2**20
_ROOT = Path(__file__).resolve().parent.parent


def decode(data: bytes, limits: Limits | None = None) -> Pcm:
    """Decode a whole file to 16 kHz mono, shape (samples,), in this process. Raises AudioError.

    Formats beyond plain WAV go through FFmpeg, which a crafted file may crash: a server uses `Decoder`.
    """
    limits = limits or Limits()
    pcm = decode_plain(data, limits)
    if pcm is None:
        from model.audio_libav import decode_container  # loads FFmpeg, which plain WAV does not need

        pcm = decode_container(data, limits)
        limits.check_pcm(pcm)
    return pcm


def decode_plain(data: bytes, limits: Limits) -> Pcm | None:
    """Decode what needs no codec, 16 kHz mono 16-bit WAV; None for everything else. Raises AudioError."""
    limits.check_size(len(data))
    if audio_containers.is_truncated(data):
        raise truncated()
    header = audio_containers.read_wav_header(data)
    if header is None or not header.is_pcm16(rate=SAMPLE_RATE, channels=1):
        return None
    samples = header.available // BYTES_PER_SAMPLE
    limits.check_length(samples)
    pcm = np.frombuffer(data, dtype="<i2", count=samples, offset=header.offset)
    limits.check_pcm(pcm)
    return pcm


def wav_bytes(pcm: Pcm) -> bytes:
    """Return the clip as a 16 kHz mono 16-bit WAV file."""
    return wav_head(pcm) + pcm.astype("<i2", copy=False).tobytes()


def wav_head(pcm: Pcm) -> bytes:
    """Return what stands before the samples in a 16 kHz mono 16-bit WAV file."""
    size = pcm.size * BYTES_PER_SAMPLE
    rate = SAMPLE_RATE * BYTES_PER_SAMPLE  # bytes/s
    form = struct.pack("<IHHIIHH", 16, 1, 1, SAMPLE_RATE, rate, BYTES_PER_SAMPLE, 16)
    return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + form + b"data" + struct.pack("<I", size)


def pcm_sha256(pcm: Pcm) -> str:
    """Name the clip by what is heard, whatever container it came in."""
    return hashlib.sha256(np.ascontiguousarray(pcm, "<i2").data).hexdigest()


def seconds(pcm: Pcm) -> float:
    """Return how long the clip lasts, in seconds."""
    return pcm.size / SAMPLE_RATE


class Decoder:
    """Decodes strangers' files in child processes: one that crashes or hangs FFmpeg costs only its own clip.

    Plain 16 kHz WAV needs no codec and stays in this process. A child starts with the first clip that needs
    it (`warm_up` starts one early), holds one clip at a time, and ends with this process, however that ends.
    """

    def __init__(self, workers: int = 1, time_limit_s: float = 10.0) -> None:
        self._places = asyncio.Semaphore(workers)
        self._time_limit_s = time_limit_s
        self._idle: list[Process] = []

    async def decode(self, data: bytes, limits: Limits | None = None) -> Pcm:
        """Decode a whole file to 16 kHz mono, shape (samples,). Raises AudioError."""
        limits = limits or Limits()
        pcm = decode_plain(data, limits)
        if pcm is not None:
            return pcm
        async with self._places:
            child = await self._take()
            try:
                async with asyncio.timeout(time_limit(self._time_limit_s, limits)):
                    decoded, payload = await self._ask(child, data, limits)
            except (TimeoutError, OSError, asyncio.IncompleteReadError):
                _end(child)
                raise AudioError(
                    "audio_unreadable",
                    "The file could not be decoded. Record again, or export it anew as WAV, MP3 or M4A.",
                ) from None
            except BaseException:  # cancelled in the middle of a message: the pipe holds half of it
                _end(child)
                raise
            self._idle.append(child)
        if not decoded:
            raise AudioError(**json.loads(payload))
        return np.frombuffer(payload, dtype="<i2")

    async def warm_up(self) -> None:
        """Start a child now, so that the first clip need not wait for it."""
        async with self._places:
            self._idle.append(await self._take())

    async def close(self) -> None:
        """End the idle children; a busy one ends with its clip's task."""
        while self._idle:
            child = self._idle.pop()
            _end(child)
            await child.wait()

    async def _take(self) -> Process:
        while self._idle:
            child = self._idle.pop()
            if child.returncode is None:
                return child
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "model.audio_worker",
            str(self._time_limit_s),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            cwd=_ROOT,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            limit=2**20,
            start_new_session=True,  # Ctrl-C in a terminal is for the parent
        )

    async def _ask(self, child: Process, data: bytes, limits: Limits) -> tuple[bool, bytearray]:
        assert child.stdin is not None
        assert child.stdout is not None
        options = json.dumps(asdict(limits)).encode()
        child.stdin.write(REQUEST_HEAD.pack(len(options), len(data)) + options)
        for at in range(0, len(data), _PIPE_BYTES):  # in pieces, so that the pipe holds no second copy
            child.stdin.write(data[at : at + _PIPE_BYTES])
            await child.stdin.drain()
        decoded, size = REPLY_HEAD.unpack(await child.stdout.readexactly(REPLY_HEAD.size))
        payload = bytearray()
        while len(payload) < size:  # in pieces, for the same reason
            piece = await child.stdout.read(min(size - len(payload), _PIPE_BYTES))
            if not piece:
                raise asyncio.IncompleteReadError(b"", size)
            payload += piece
        return decoded, payload


def time_limit(base_s: float, limits: Limits) -> float:
    """Return how long decoding may take, in seconds: `base_s` for 300 s of sound, more for more."""
    return base_s * max(1.0, limits.max_seconds / Limits().max_seconds)


def _end(child: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.kill()
