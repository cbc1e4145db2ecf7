"""Sound on its way in: bytes from strangers become a `Clip`, decoded once, named by what is heard."""

from __future__ import annotations

import asyncio
import binascii
import hashlib
import json
import logging
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pybase64

from backend import logs
from backend.admission import Turns
from backend.body import off_loop
from backend.errors import InvalidRequest, StartError
from backend.settings import Settings
from model.audio import (
    AudioError,
    Decoder,
    Limits,
    Pcm,
    decode_plain,
    pcm_sha256,
    seconds,
    wav_bytes,
    wav_head,
)

_TRAIT_SAMPLES = 8_000
_BASE64_SPEED = 16  # bytes of base64 are read while one of anything else is worked on
_LONG_BYTES = 2 * 2**20  # of sound, a minute: named in a thread
_MOST_WAITING = 64  # recordings, which are all in memory; half of them of one owner at most


@dataclass(frozen=True, eq=False)
class Clip:
    """A decoded recording: 16 kHz mono int16. `public` when it is one of the demo's own samples."""

    pcm: Pcm
    public: bool

    @cached_property
    def sha256(self) -> str:
        """Its name: of what is heard, whatever container it came in."""
        return pcm_sha256(self.pcm)

    @cached_property
    def trait(self) -> str:
        """What the same sound has, and hardly any other: quicker than its name, and not to be relied on."""
        some = np.ascontiguousarray(self.pcm[:: 1 + self.pcm.size // _TRAIT_SAMPLES], "<i2")
        return hashlib.blake2b(some.data, digest_size=16).hexdigest()

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return seconds(self.pcm)

    def wav(self) -> bytes:
        """Return it as a 16 kHz mono 16-bit WAV file."""
        return wav_bytes(self.pcm)

    def base64(self) -> tuple[bytes, bytes]:
        """Return the same file in base64, in two pieces, so that no samples are copied for it."""
        samples = np.ascontiguousarray(self.pcm, "<i2").data.cast("B")
        head = wav_head(self.pcm)
        more = -len(head) % 3  # bytes that fill up the last three of the head
        more += more % 2 * 3
        return pybase64.b64encode(head + samples[:more]), pybase64.b64encode(samples[more:])


class Ingest:
    """Turns a file into a Clip, within the limits."""

    def __init__(self, settings: Settings) -> None:
        self._short = _Reader(
            settings, Limits(max_bytes=settings.max_audio_bytes, max_seconds=settings.max_audio_seconds)
        )
        # Hours are decoded apart, so that nobody who asks a question waits for them.
        self._long = _Reader(
            settings,
            Limits(
                max_bytes=settings.max_transcription_bytes, max_seconds=settings.max_transcription_seconds
            ),
        )
        self._samples = _Samples(settings.samples)

    async def clip(self, data: bytes, *, owner: str = "") -> Clip:
        """Decode and name a file in any container. Raises AudioError, Busy."""
        pcm = await self._short.read(data, owner)
        clip = Clip(pcm, public=data in self._samples)
        if pcm.nbytes > _LONG_BYTES:
            await asyncio.to_thread(lambda: clip.sha256)
        return clip

    async def recording(self, data: bytes, *, owner: str = "") -> Pcm:
        """Decode a file of up to hours, to be written down and not kept. Raises AudioError, Busy."""
        return await self._long.read(data, owner)

    async def clip_from_base64(self, text: str, param: str, *, owner: str = "") -> Clip:
        """Decode an `input_audio` part. Raises AudioError, Busy, InvalidRequest."""
        if text.startswith("data:"):
            text = text.partition(",")[2]
        self._short.limits.check_size(len(text) * 3 // 4)
        try:
            data = await off_loop(len(text) // _BASE64_SPEED, _unwrap, text)
        except (binascii.Error, ValueError):
            raise InvalidRequest(
                "audio_not_base64",
                "The audio is not valid base64. Encode the whole file and send it again.",
                param=param,
            ) from None
        return await self.clip(data, owner=owner)

    async def start(self) -> None:
        """Start the decoder's child before the first clip comes."""
        await self._short.decoder.warm_up()

    async def close(self) -> None:
        """End the decoder's children."""
        await self._short.decoder.close()
        await self._long.decoder.close()


class _Reader:
    """A decoder with its limits. Owners take turns at it; what needs no codec waits for nobody."""

    def __init__(self, settings: Settings, limits: Limits) -> None:
        self.limits = limits
        self.decoder = Decoder(settings.decoder_workers)
        most_of_one = min(settings.queue_per_visitor, _MOST_WAITING // 2)
        self._turns = Turns(settings.decoder_workers, _MOST_WAITING, most_of_one, settings.queue_timeout_s)

    async def read(self, data: bytes, owner: str) -> Pcm:
        """Decode a file. Raises AudioError, Busy."""
        started = time.perf_counter()
        try:
            pcm = decode_plain(data, self.limits)
            if pcm is None:
                async with self._turns.turn(owner):
                    pcm = await self.decoder.decode(data, self.limits)
        except AudioError as error:
            logs.event("audio refused", level=logging.WARNING, code=error.code, bytes=len(data))
            raise
        logs.event("audio decoded", bytes=len(data), seconds=seconds(pcm), ms=_ms_since(started))
        return pcm


def _unwrap(text: str) -> bytes:
    return pybase64.b64decode(text, validate=True)


class _Samples:
    """The demo's own files: answers about these may be shared between visitors."""

    def __init__(self, manifest: Path) -> None:
        """Read the list. Raises StartError where it is broken."""
        samples = _listed(manifest)
        self._hashes = frozenset(samples)
        files = [manifest.parent / file for file in samples.values()]
        # A visitor's own file is seldom as large as one of these to the byte, so few need to be hashed.
        sizes = {file.stat().st_size for file in files if file.is_file()}
        self._sizes = sizes if all(file.is_file() for file in files) else None

    def __contains__(self, data: bytes) -> bool:
        is_likely = self._sizes is None or len(data) in self._sizes
        return is_likely and hashlib.sha256(data).hexdigest() in self._hashes


def _listed(manifest: Path) -> dict[str, str]:
    """Return the names of the samples' files by their SHA-256. Raises StartError."""
    try:
        samples = json.loads(manifest.read_text("utf-8"))["samples"]
        return {str(sample["sha256"]): str(sample.get("file", "")) for sample in samples}
    except OSError:
        return {}  # a controller alone, without the demo's samples
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise StartError(
            f"{manifest} is no list of samples: JSON with `samples`, and for each of them its `sha256`. "
            "Mend it (`make samples` writes it anew), or set MERALION_SAMPLES to another file."
        ) from None


def _ms_since(started: float) -> float:
    return round(1_000 * (time.perf_counter() - started), 1)
