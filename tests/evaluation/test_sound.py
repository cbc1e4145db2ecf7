from __future__ import annotations

import io
import wave

import av
import numpy as np
import pytest

from evaluation import sound
from evaluation.errors import DataError
from tests.evaluation.scripted import wav

RATE = sound.SAMPLE_RATE


def lengths(audio: bytes, **how: float) -> list[int]:
    return [piece.size for piece in sound.pieces(audio, **how)]


@pytest.mark.parametrize(
    ("seconds", "how", "expected"),
    [
        (30.0, {"pieces_s": 30}, [30.0]),  # not over 30 s: one piece
        (65.0, {"pieces_s": 30}, [30.0, 30.0, 5.0]),
        (60.0, {"pieces_s": 30}, [30.0, 30.0]),
        (60.5, {"pieces_s": 30}, [30.0, 30.0, 1.5]),  # the rest under 1 s has a second behind it
        (65.0, {"head_s": 30}, [30.0]),
        (12.0, {"head_s": 30}, [12.0]),
        (0.4, {"head_s": 30}, [1.4]),
        (1.0, {}, [1.0]),
        (65.0, {}, [65.0]),
        (65.0, {"pieces_s": 20, "head_s": 50}, [20.0, 20.0, 10.0]),
    ],
)
def test_clips_are_cut_as_audiobench_cuts_them(
    seconds: float, how: dict[str, float], expected: list[float]
) -> None:
    assert lengths(wav(seconds), **how) == [round(each * RATE) for each in expected]


def test_pieces_hold_the_clip_and_nothing_else() -> None:
    samples = np.random.default_rng(0).integers(-9_000, 9_000, 7 * RATE).astype(np.int16)
    joined = np.concatenate(list(sound.pieces(sound.wav(samples), pieces_s=2)))
    assert np.array_equal(joined, samples)


def test_padding_is_silence_behind() -> None:
    (piece,) = sound.pieces(wav(0.5, value=500))
    assert (piece[: RATE // 2] == 500).all()
    assert not piece[RATE // 2 :].any()


def test_another_rate_and_stereo_become_16_khz_mono() -> None:
    left, right = np.full(44_100, 8_000, "<i2"), np.full(44_100, 2_000, "<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(44_100)
        out.writeframes(np.stack([left, right], axis=1).tobytes())
    (piece,) = sound.pieces(file.getvalue())
    assert abs(piece.size - RATE) < 40
    assert np.abs(piece[500:-500].astype(int) - 5_000).max() < 20  # the mean, 3 dB below FFmpeg's downmix


def test_any_container() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="flac") as out:
        stream = out.add_stream("flac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.full((1, 2 * RATE), 900, np.int16), "s16", "mono")
        frame.sample_rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    (piece,) = sound.pieces(file.getvalue())
    assert piece.size == 2 * RATE


@pytest.mark.parametrize("audio", [b"", b"no sound at all", wav(0.0), b"#EXTM3U\nhttp://127.0.0.1:9/a.wav\n"])
def test_what_is_no_sound_is_told(audio: bytes) -> None:
    with pytest.raises(DataError, match=r"The clip"):
        list(sound.pieces(audio))


def test_decoding_stops_with_the_head() -> None:
    """A file that is broken after its first seconds is heard as far as it is needed."""
    whole = wav(90)
    assert lengths(whole[: len(whole) // 2], head_s=30) == [30 * RATE]
