"""The recordings of the corpus: short tones in every container, and files that only look like sound."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import partial

import av
import numpy as np
from numpy.typing import NDArray

_SECONDS = 0.12  # 0.1 are needed to be heard
_RATE = 16_000  # Hz
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_SUBFORMAT = bytes.fromhex("0100000000001000800000aa00389b71")
_UNKNOWN = 0xFFFFFFFF  # the size that a recorder writes that cannot seek back


def tone(seconds: float = _SECONDS, rate: int = _RATE, hertz: float = 440.0) -> NDArray[np.float32]:
    """A sine, shape (samples,)."""
    at = np.arange(round(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * hertz * at)).astype(np.float32)


def pcm(bits: int = 16, channels: int = 1, seconds: float = _SECONDS, rate: int = _RATE) -> bytes:
    """The tone as little-endian integers, 8-bit ones from 0 to 255, in every channel."""
    whole = np.repeat(tone(seconds, rate), channels) * (2 ** (bits - 1) - 1)
    if bits == 8:
        return bytes((whole + 128).astype(np.uint8))
    return bytes(whole.astype("<i4").view(np.uint8).reshape(-1, 4)[:, : bits // 8].tobytes())


def wav(
    data: bytes,
    *,
    rate: int = _RATE,
    channels: int = 1,
    bits: int = 16,
    codec: int = _PCM,
    size: int | None = None,
    before: bytes = b"",
) -> bytes:
    """A WAV file; `size` is what it says of its samples, and `before` are chunks that come first."""
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", codec, channels, rate, rate * block & _UNKNOWN, block, bits)
    if codec == _EXTENSIBLE:
        form += struct.pack("<HHI", 22, bits, (1 << min(channels, 32)) - 1) + _SUBFORMAT
    said = len(data) if size is None else size
    rest = b"WAVE" + before + chunk(b"fmt ", form) + b"data" + struct.pack("<I", said) + data
    return b"RIFF" + struct.pack("<I", min(len(rest), _UNKNOWN)) + rest


def chunk(name: bytes, data: bytes, size: int | None = None) -> bytes:
    """One chunk of a RIFF file, its size a lie where one is given."""
    return name + struct.pack("<I", len(data) if size is None else size) + data + bytes(len(data) % 2)


def encoded(
    container: str, codec: str, *, rate: int = _RATE, layout: str = "mono", seconds: float = _SECONDS
) -> bytes:
    """The tone as FFmpeg writes it, without random serial numbers and dates."""
    out = io.BytesIO()
    with av.open(out, "w", format=container, options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream(codec, rate=rate, layout=layout)
        stream.bit_rate = 24_000
        stream.codec_context.options = {"strict": "experimental"}
        context = stream.codec_context
        resampler = av.AudioResampler(
            context.format.name, layout, rate, frame_size=context.frame_size or 1_024
        )
        channels = av.AudioLayout(layout).nb_channels
        packed = np.repeat(tone(seconds, rate), channels).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.sample_rate = rate
        for source in (frame, None):
            for part in resampler.resample(source):
                file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return out.getvalue()


def silent_flac(seconds: float = 60.0) -> bytes:
    """Much sound in few bytes."""
    out = io.BytesIO()
    with av.open(out, "w", format="flac", options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream("flac", rate=8_000, layout="mono")
        stream.codec_context.options = {"frame_size": "16384"}
        for _ in range(round(seconds * 8_000 / 16_384)):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_384), np.int16), format="s16", layout="mono")
            frame.sample_rate = 8_000
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


def id3(size: int) -> bytes:
    """The head of an MP3's tag, which says how long it is in seven bits a byte."""
    return b"ID3\x04\x00\x00" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))


def _zip(data: bytes) -> bytes:
    """A ZIP archive of one file, stored as it is."""
    sums = struct.pack("<III", zlib.crc32(data), len(data), len(data))
    local = b"PK\x03\x04" + struct.pack("<HHHHH", 10, 0, 0, 0, 0x21) + sums + struct.pack("<HH", 5, 0)
    central = b"PK\x01\x02" + struct.pack("<HHHHHH", 10, 10, 0, 0, 0, 0x21) + sums
    central += struct.pack("<HHHHHII", 5, 0, 0, 0, 0, 0, 0) + b"a.wav"
    at = len(local) + 5 + len(data)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), at, 0)
    return local + b"a.wav" + data + central + end


def _floats(*odd: float) -> bytes:
    samples = tone().copy()
    samples[: len(odd)] = odd
    return wav(samples.astype("<f4").tobytes(), bits=32, codec=_FLOAT)


_HTML = b"<html><script>alert(1)</script></html>"
_GIF = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff;"
_SIZES = chunk(b"ds64", struct.pack("<QQQI", 0, 3_840, 1_920, 0))
_RF64 = b"RF64" + struct.pack("<I", _UNKNOWN) + b"WAVE" + _SIZES

AUDIO: dict[str, Callable[[], bytes]] = {
    "mono_16.wav": lambda: wav(pcm()),
    "mono_8.wav": lambda: wav(pcm(8), bits=8),
    "mono_24.wav": lambda: wav(pcm(24), bits=24),
    "mono_32.wav": lambda: wav(pcm(32), bits=32),
    "float.wav": _floats,
    "float_nan.wav": lambda: _floats(float("nan"), float("inf"), float("-inf")),
    "stereo_22k.wav": lambda: wav(pcm(16, 2, rate=22_050), channels=2, rate=22_050),
    "extensible.wav": lambda: wav(pcm(16, 2), channels=2, codec=_EXTENSIBLE),
    "eight_channels.wav": lambda: wav(pcm(8, 8, rate=4_000), channels=8, bits=8, rate=4_000),
    "rate_655k.wav": lambda: wav(pcm(), rate=655_350),
    "unknown_size.wav": lambda: wav(pcm(), size=_UNKNOWN),
    "promises_more.wav": lambda: wav(pcm(), size=320_000),
    "header_only.wav": lambda: wav(b""),
    "silent.wav": lambda: wav(bytes(3_840)),
    "too_short.wav": lambda: wav(pcm(seconds=0.05)),
    "listed.wav": lambda: wav(pcm(), before=chunk(b"LIST", b"INFO" + chunk(b"ISFT", b"fuzz"))),
    "endless_chunk.wav": lambda: wav(pcm(), before=chunk(b"JUNK", b"", 0x7FFFFFF0)),
    "rf64.wav": lambda: _RF64 + wav(pcm())[12:],
    "adpcm.wav": partial(encoded, "wav", "adpcm_ms"),
    "alaw.wav": partial(encoded, "wav", "pcm_alaw", rate=8_000),
    "tone.mp3": partial(encoded, "mp3", "libmp3lame", seconds=0.3),
    "tagged.mp3": lambda: id3(64) + bytes(64) + encoded("mp3", "libmp3lame"),
    "endless_tag.mp3": lambda: id3(2**28 - 1) + encoded("mp3", "libmp3lame"),
    "opus.ogg": partial(encoded, "ogg", "libopus", rate=48_000, seconds=0.3),
    "vorbis.ogg": partial(encoded, "ogg", "vorbis", layout="stereo"),
    "opus.webm": partial(encoded, "webm", "libopus", rate=48_000, seconds=0.3),
    "pcm.mkv": partial(encoded, "matroska", "pcm_s16le"),
    "aac.m4a": partial(encoded, "ipod", "aac", seconds=0.3),
    "alac.m4a": partial(encoded, "ipod", "alac"),
    "aac.mp4": partial(encoded, "mp4", "aac", rate=44_100, layout="stereo", seconds=0.3),
    "aac.aac": partial(encoded, "adts", "aac", seconds=0.3),
    "tone.flac": partial(encoded, "flac", "flac"),
    "minute_of_silence.flac": silent_flac,
    "tone.aiff": partial(encoded, "aiff", "pcm_s16be"),
    "tone.au": partial(encoded, "au", "pcm_s16be"),
    "tone.caf": partial(encoded, "caf", "pcm_s16le"),
    "tone.w64": partial(encoded, "w64", "pcm_s16le"),
    "tone.amr": partial(encoded, "amr", "libopencore_amrnb", rate=8_000),
    "empty.wav": lambda: b"",
    "words.wav": lambda: b"only words\n" * 20,
    "playlist.m3u8": lambda: b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "playlist_of_http.m3u8": lambda: b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:11111/a.ts\n",
    "list.ffconcat": lambda: b"ffconcat version 1.0\nfile '/etc/passwd'\nfile 'http://127.0.0.1:11111/a'\n",
    "session.sdp": lambda: b"v=0\no=- 0 0 IN IP4 0.0.0.0\ns=x\nc=IN IP4 127.0.0.1\nm=audio 11111 RTP/AVP 0\n",
    "dash.mpd": lambda: b"<MPD><Period><BaseURL>file:///etc/passwd</BaseURL></Period></MPD>",
    "picture.gif": lambda: _GIF,
    "html_first.wav": lambda: _HTML + wav(pcm()),
    "html_within.wav": lambda: wav(pcm(), before=chunk(b"html", _HTML)),
    "gif_then_mp3.mp3": lambda: _GIF + encoded("mp3", "libmp3lame"),
    "wav_then_zip.wav": lambda: wav(pcm()) + _zip(b"words"),
    "zip_of_wav.zip": lambda: _zip(wav(pcm())),
    "wav_in_mp3.mp3": lambda: id3(3_884) + wav(pcm()) + encoded("mp3", "libmp3lame"),
    "playlist_then_wav.wav": lambda: b"#EXTM3U\nfile:///etc/passwd\n" + wav(pcm()),
}
