"""Decode any container by FFmpeg's libraries (PyAV), packet by packet, with the limits applied on the way.

A 2 MB FLAC can hold three hours: decoding stops at the sample that is one too many. Stereo is averaged here,
since FFmpeg's own downmix adds 3 dB and clips; frames are packed (`flt`), since PyAV dies on planar ones of 8
channels.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import av
import numpy as np

from model.audio_limits import FULL_SCALE, SAMPLE_RATE, AudioError, Limits, Pcm, truncated

# Containers that hold sound and cannot point anywhere else: no playlists (m3u8, ffconcat, sdp, dash).
_FORMATS = "wav,mp3,flac,ogg,matroska,webm,mov,mp4,aac,aiff,amr,caf,w64,au"
_MAGIC = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"ID3", b"\x1aE\xdf\xa3", b"FORM", b"#!AMR", b"caff", b".snd")
_MAX_BAD_PACKETS = 50  # a damaged file is heard as far as it goes, but not searched for ever
_TOLERATED_LOSS_S = 0.5  # a FLAC header knows its length; a cut file is shorter by more than this


def decode_container(data: bytes, limits: Limits) -> Pcm:
    """Decode the first sound stream to 16 kHz mono, shape (samples,). Raises AudioError, and nothing else."""
    try:
        with av.open(io.BytesIO(data), "r", options={"format_whitelist": _FORMATS}) as container:
            return _decode_stream(container, limits)
    except AudioError:
        raise
    except MemoryError:
        raise AudioError(
            "audio_unreadable", "The file needs too much memory to open. Send it as MP3 or WAV."
        ) from None
    except Exception as error:  # PyAV raises ValueError, IndexError, EOFError, OSError and more on bad files
        raise _unreadable(data) from error


def _unreadable(data: bytes) -> AudioError:
    if data.startswith(_MAGIC) or data[4:8] == b"ftyp":
        return _damaged()
    return AudioError(
        "audio_not_audio",
        "This is not a sound file, whatever its name says. Send WAV, MP3, M4A, WebM, Ogg or FLAC.",
    )


def _damaged() -> AudioError:
    return AudioError(
        "audio_unreadable",
        "The file is damaged and cannot be read as sound. Record again, or export it as WAV, MP3 or M4A.",
    )


def _decode_stream(container: Any, limits: Limits) -> Pcm:
    if not container.streams.audio:
        raise AudioError(
            "audio_not_audio", "The file holds no sound, only pictures or text. Send a recording."
        )
    stream = container.streams.audio[0]
    codec = stream.codec_context
    if codec is None:
        raise AudioError(
            "audio_unreadable", "The sound is in a format unknown here. Send WAV, MP3, M4A or FLAC."
        )
    if codec.channels or codec.sample_rate:  # both 0 when only the first frame will tell
        limits.check_stream(codec.channels, codec.sample_rate)

    pcm = bytearray()  # grows in place: two hours must not be held twice
    samples = 0
    for block in _resampled(_frames(container, stream), limits):
        samples += block.size
        limits.check_length(samples)
        pcm += block.data
    if container.format.name == "flac" and stream.duration:
        promised = float(stream.duration * stream.time_base) * SAMPLE_RATE
        if 0 < samples < promised - _TOLERATED_LOSS_S * SAMPLE_RATE:
            raise truncated()
    return np.frombuffer(pcm, np.int16)


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Yield decoded frames, stepping over a bounded number of damaged packets."""
    bad = good = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
            frames = packet.decode()
        except StopIteration:
            break
        except (av.error.InvalidDataError, av.error.EOFError):
            bad += 1
            if bad > max(_MAX_BAD_PACKETS, good):
                break
            continue
        good += bool(frames)
        yield from frames
    if bad and bad >= good:
        raise _damaged()


def _resampled(frames: Iterator[Any], limits: Limits) -> Iterator[Pcm]:
    """Yield mono blocks of about a second at 16 kHz, with a new resampler when the stream changes shape."""
    resampler = None
    shape: tuple[str, int, str] | None = None
    for frame in frames:
        now = (frame.format.name, frame.sample_rate, frame.layout.name)
        if now != shape:
            limits.check_stream(frame.layout.nb_channels, frame.sample_rate)
            if resampler is not None:
                yield from map(_mono, resampler.resample(None))
            resampler = av.AudioResampler("flt", frame.layout, SAMPLE_RATE, frame_size=SAMPLE_RATE)
            shape = now
        frame.pts = None  # timestamps lie; only samples count
        assert resampler is not None
        yield from map(_mono, resampler.resample(frame))
    if resampler is not None:
        yield from map(_mono, resampler.resample(None))


def _mono(frame: Any) -> Pcm:
    """Average the channels of one packed float frame to int16, shape (samples,)."""
    channels = frame.layout.nb_channels
    floats = frame.to_ndarray().reshape(-1, channels)
    if not np.isfinite(floats).all():
        raise AudioError(
            "audio_invalid_samples",
            "The recording holds values that are not numbers (NaN, infinity). Export it again as 16-bit WAV.",
        )
    mono = floats.mean(axis=1) if channels > 1 else floats[:, 0]
    pcm: Pcm = np.clip(np.rint(mono * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return pcm
