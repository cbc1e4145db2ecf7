"""Recordings of any kind become mono, 16 kHz, 16 bits, and only what is asked for is decoded."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.training.corpus import sentences, wav
from training.data.audio import Recording, loudness, mix, sha256
from training.data.ledger import Rejected

SPEECH = sentences()[0].pcm


def test_16_bit_mono_at_16_khz_is_taken_to_the_bit() -> None:
    with Recording(wav(SPEECH), "a") as recording:
        assert recording.repairs == []
        assert np.array_equal(recording.read(), SPEECH)
        assert np.array_equal(recording.read(0.5, 1.0), SPEECH[8_000:16_000])


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_other_rates_and_channels_are_brought_to_one(rate: int) -> None:
    time = np.arange(2 * rate) / rate
    tone = (8_000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
    with Recording(wav(np.stack([tone, tone], 1), rate), "a") as recording:
        assert recording.repairs == ["resampled", "mixed_down"]
        found = recording.read(0.5, 1.5)
    assert found.dtype == np.int16 and found.size == 16_000
    assert np.argmax(np.abs(np.fft.rfft(found))) == 440
    assert abs(int(found[4_000:12_000].max()) - 8_000) < 100


def test_floats_are_scaled_clipped_and_looked_through_for_what_is_no_number() -> None:
    sound = np.array([0.5, -0.5, 1.5, -2.0], np.float32)
    with Recording(wav(sound, subtype="FLOAT"), "a") as recording:
        assert list(recording.read()) == [16_384, -16_384, 32_767, -32_768]
    sound[1] = np.nan
    with (
        Recording(wav(sound, subtype="FLOAT"), "a") as recording,
        pytest.raises(Rejected, match="not_finite"),
    ):
        recording.read()


def test_what_is_no_sound_is_rejected_and_so_is_sound_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").write_bytes(b"")
    for sound in (b"", b"RIFF and nothing", tmp_path / "empty.wav", tmp_path):
        with pytest.raises(Rejected, match="undecodable"):
            Recording(sound, "a")
    with pytest.raises(Rejected, match="no_audio"):
        Recording(tmp_path / "none.wav", "a")


def test_a_recording_that_was_cut_off_gives_what_it_has_and_no_more() -> None:
    with Recording(wav(SPEECH)[:20_044], "a") as recording:
        assert recording.seconds == 0.625
        assert np.array_equal(recording.read(0.1, 0.6), SPEECH[1_600:9_600])
        with pytest.raises(Rejected, match=r"ends 0\.38 s too early"):
            recording.read(0.0, 1.0)


def test_of_two_hours_only_the_header_and_what_is_asked_for_are_read(tmp_path: Path) -> None:
    path, data = tmp_path / "long.wav", 2 * 3_600 * 32_000
    head = (
        b"RIFF"
        + struct.pack("<I", 36 + data)
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    )
    path.write_bytes(head + b"data" + struct.pack("<I", data))
    with path.open("r+b") as file:
        file.truncate(44 + data)
    before = psutil.Process().memory_info().rss
    with Recording(path, "long") as recording:
        assert recording.seconds == 7_200
        assert recording.read(7_100, 7_110).size == 160_000
    assert psutil.Process().memory_info().rss - before < 50e6


def test_loudness_is_of_the_loudest_moment() -> None:
    quiet = np.zeros(16_000, np.int16)
    assert loudness(quiet) == -np.inf
    quiet[8_000:8_320] = 3_277
    assert loudness(quiet) == pytest.approx(-20, abs=0.1)
    assert loudness(np.full(5, 32_767, np.int16)) == pytest.approx(0, abs=0.1)


def test_sides_are_mixed_without_turning_over_and_hashed_by_their_samples() -> None:
    loud = np.full(4, 30_000, np.int16)
    assert list(mix([loud, loud])) == [32_767] * 4
    assert sha256(loud) == sha256(loud.astype(">i2"))
