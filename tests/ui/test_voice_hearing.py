"""Sound as browsers send it, made into what models take."""

from __future__ import annotations

import io
import wave
from typing import Any

import av
import numpy as np
import pytest

from ui.voice.hearing import Ear, read_wav, to_wav
from ui.voice.levels import FRAME, RATE, level_db


def sine(rate: int, seconds: float, loudness: float = 0.5) -> Any:
    time = np.arange(int(rate * seconds)) / rate
    return (np.sin(2 * np.pi * 440 * time) * loudness * 32767).astype(np.int16)


def frames(rate: int, channels: list[Any]) -> list[av.AudioFrame]:
    """What a microphone of so many channels sends in frames of 20 ms."""
    packed = np.stack(channels, axis=1)
    step, found = rate // 50, []
    for at in range(0, len(packed) - step + 1, step):
        frame = av.AudioFrame.from_ndarray(
            packed[at : at + step].reshape(1, -1),
            format="s16",
            layout="stereo" if len(channels) == 2 else "mono",
        )
        frame.sample_rate, frame.pts = rate, at
        found.append(frame)
    return found


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
@pytest.mark.parametrize("both", [True, False])
def test_frames_become_16_khz_mono_of_the_same_loudness(rate: int, both: bool):
    voice = sine(rate, 1.0)
    ear = Ear()
    heard = [pcm for frame in frames(rate, [voice, voice] if both else [voice]) for pcm in ear.frames(frame)]
    assert {len(pcm) for pcm in heard} == {FRAME}
    assert len(heard) == pytest.approx(50, abs=2)
    assert level_db(heard[25]) == pytest.approx(-6, abs=0.5)


def test_the_average_of_the_channels_is_heard():
    voice = sine(48_000, 1.0)
    ear = Ear()
    heard = [pcm for frame in frames(48_000, [voice, np.zeros_like(voice)]) for pcm in ear.frames(frame)]
    assert level_db(heard[25]) == pytest.approx(-12, abs=0.5)


def test_a_microphone_that_changes_is_still_heard():
    ear = Ear()
    for rate in (48_000, 44_100):
        heard = [pcm for frame in frames(rate, [sine(rate, 0.5)]) for pcm in ear.frames(frame)]
        assert level_db(heard[-1]) == pytest.approx(-6, abs=0.5)


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (16_000, 2), (44_100, 2), (48_000, 1)])
def test_recordings_of_any_kind_are_read(rate: int, channels: int):
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(sine(rate, 1.0), channels).tobytes())
    pcm = read_wav(out.getvalue())
    assert len(pcm) == pytest.approx(RATE, abs=40)
    assert level_db(pcm[8000 : 8000 + FRAME]) == pytest.approx(-6, abs=0.5)
    assert np.array_equal(read_wav(to_wav(pcm)), pcm)


@pytest.mark.parametrize("wav", [b"", b"RIFF", b"no sound at all" * 10, to_wav(np.zeros(0, np.int16))[:20]])
def test_what_is_no_recording_is_refused(wav: bytes):
    with pytest.raises(ValueError):
        read_wav(wav)


def test_an_empty_recording_is_read():
    assert len(read_wav(to_wav(np.zeros(0, np.int16)))) == 0
