"""Sound on its way in: bytes from strangers become a `Clip`, decoded once, named by what is heard."""

from __future__ import annotations

import binascii
import hashlib
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path

from backend import logs
from backend.body import off_loop
from backend.errors import InvalidRequest
from backend.settings import Settings
from model.audio import AudioError, Decoder, Limits, Pcm, pcm_sha256, seconds, wav_bytes


@dataclass(frozen=True, eq=False)
class Clip:
    """A decoded recording: 16 kHz mono int16. `public` when it is one of the demo's own samples."""

    sha256: str
    pcm: Pcm
    public: bool

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return seconds(self.pcm)

    def wav(self) -> bytes:
        """Return it as a 16 kHz mono 16-bit WAV file."""
        return wav_bytes(self.pcm)


class Ingest:
    """Turns a file into a Clip, within the limits."""

    def __init__(self, settings: Settings) -> None:
        self._decoder = Decoder(settings.decoder_workers)
        self._limits = Limits(max_bytes=settings.max_audio_bytes, max_seconds=settings.max_audio_seconds)
        # Hours are decoded apart, so that nobody who asks a question waits for them.
        self._long_decoder = Decoder(settings.decoder_workers)
        self._long_limits = Limits(
            max_bytes=settings.max_transcription_bytes, max_seconds=settings.max_transcription_seconds
        )
        self._public = _public_hashes(settings.samples)

    async def clip(self, data: bytes) -> Clip:
        """Decode and name a file in any container. Raises AudioError."""
        pcm = await self._decoded(data, self._decoder, self._limits)
        raw, heard = await off_loop(len(data) + pcm.nbytes, _hashes, data, pcm)
        return Clip(heard, pcm, public=raw in self._public)

    async def recording(self, data: bytes) -> Pcm:
        """Decode a file of up to hours, to be written down and not kept. Raises AudioError."""
        return await self._decoded(data, self._long_decoder, self._long_limits)

    async def _decoded(self, data: bytes, decoder: Decoder, limits: Limits) -> Pcm:
        started = time.perf_counter()
        try:
            pcm = await decoder.decode(data, limits)
        except AudioError as error:
            logs.event("audio refused", level=logging.WARNING, code=error.code, bytes=len(data))
            raise
        logs.event("audio decoded", bytes=len(data), seconds=seconds(pcm), ms=_ms_since(started))
        return pcm

    async def clip_from_base64(self, text: str, param: str) -> Clip:
        """Decode an `input_audio` part. Raises AudioError, InvalidRequest."""
        if text.startswith("data:"):
            text = text.partition(",")[2]
        self._limits.check_size(len(text) * 3 // 4)
        try:
            data = await off_loop(len(text), _unwrap, text)
        except (binascii.Error, ValueError):
            raise InvalidRequest(
                "audio_not_base64",
                "The audio is not valid base64. Encode the whole file and send it again.",
                param=param,
            ) from None
        return await self.clip(data)

    async def start(self) -> None:
        """Start the decoder's child before the first clip comes."""
        await self._decoder.warm_up()

    async def close(self) -> None:
        """End the decoder's children."""
        await self._decoder.close()
        await self._long_decoder.close()


def _unwrap(text: str) -> bytes:
    return binascii.a2b_base64(text, strict_mode=True)  # unlike base64.b64decode, without a copy of the text


def _hashes(data: bytes, pcm: Pcm) -> tuple[str, str]:
    return hashlib.sha256(data).hexdigest(), pcm_sha256(pcm)


def _public_hashes(manifest: Path) -> frozenset[str]:
    """Return the hashes of the sample files: answers about these may be shared between visitors."""
    try:
        samples = json.loads(manifest.read_text("utf-8"))["samples"]
    except OSError:
        return frozenset()  # a controller alone, without the demo's samples
    return frozenset(sample["sha256"] for sample in samples)


def _ms_since(started: float) -> float:
    return round(1_000 * (time.perf_counter() - started), 1)
