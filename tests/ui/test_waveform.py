"""Pictures of a clip."""

from __future__ import annotations

import base64
import io
import time

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.ui.conftest import tone
from ui import waveform


def opacity(picture: str) -> NDArray[np.uint8]:
    """How strongly each pixel of a spectrogram shows, shape (rows, columns)."""
    data = base64.b64decode(picture.removeprefix("data:image/png;base64,"))
    return np.array(Image.open(io.BytesIO(data)).convert("RGBA"))[..., 3]


def test_peaks_follow_the_loudness():
    sound = waveform.pcm(tone(1)).copy()
    sound[8000:] //= 10
    peaks = waveform.peaks(sound)
    assert len(peaks) == waveform.PEAKS
    half = waveform.PEAKS // 2
    assert max(peaks) == 1
    assert max(peaks[: half - 1]) > 0.9
    assert max(peaks[half + 1 :]) < 0.15


def test_a_single_click_is_seen_however_long_the_clip():
    sound = np.zeros(3_600_000, np.int16)
    sound[1_800_001] = -32768
    assert waveform.peaks(sound).index(1.0) == waveform.PEAKS // 2


def test_a_quiet_clip_is_not_drawn_as_a_loud_one():
    assert max(waveform.peaks(waveform.pcm(tone(1, loudness=0.005)))) <= 0.2


def test_the_spectrogram_has_the_tone_at_its_height():
    rows = opacity(waveform.spectrogram(waveform.pcm(tone(1)))).mean(axis=1)
    row_of_330_hz = waveform.ROWS - 1 - int(330 / 8000 * waveform.ROWS)
    assert abs(int(rows.argmax()) - row_of_330_hz) <= 1
    assert rows[: waveform.ROWS // 2].max() < 30


def test_a_clip_shorter_than_a_window_is_drawn():
    for seconds in (0, 0.01):
        sound = waveform.pcm(tone(seconds))
        assert len(waveform.peaks(sound)) == waveform.PEAKS
        assert opacity(waveform.spectrogram(sound)).shape == (waveform.ROWS, waveform.COLUMNS)


def test_pictures_of_two_hours_take_a_fraction_of_a_second():
    sound = np.tile(np.random.default_rng(0).integers(-3000, 3000, 16_000, np.int16), 7200)
    begin = time.perf_counter()
    waveform.peaks(sound)
    waveform.spectrogram(sound)
    assert time.perf_counter() - begin < 0.5
