"""Pictures of a clip."""

import base64
import io
import re
import time

import numpy as np
from PIL import Image

from tests.ui.conftest import tone
from ui import waveform


def heights(markup: str) -> list[int]:
    return [int(height) for height in re.findall(r"height:(\d+)%", markup)]


def test_bars_follow_the_loudness():
    sound = waveform.samples(tone(1))
    sound[8000:] *= 0.1
    bars = heights(waveform.waveform_html(sound))
    assert len(bars) == waveform.BARS
    assert min(bars[: waveform.BARS // 2 - 1]) > 90
    assert max(bars[waveform.BARS // 2 + 1 :]) < 15


def test_a_quiet_clip_is_not_drawn_as_a_loud_one():
    assert max(heights(waveform.waveform_html(waveform.samples(tone(1, loudness=0.005))))) <= 20


def test_the_spectrogram_has_the_tone_at_its_height():
    markup = waveform.spectrogram_html(waveform.samples(tone(1)))
    data = re.search(r"base64,([^\"]+)", markup)
    assert data is not None
    opacity = np.array(Image.open(io.BytesIO(base64.b64decode(data[1]))))[..., 3].mean(axis=1)
    row_of_330_hz = waveform.ROWS - 1 - int(330 / 8000 * waveform.ROWS)
    assert abs(int(opacity.argmax()) - row_of_330_hz) <= 1
    assert opacity[: waveform.ROWS // 2].max() < 30


def test_a_clip_shorter_than_a_window_is_drawn():
    assert "m-wave" in waveform.waveform_html(waveform.samples(tone(0.01)))
    assert "m-spectrogram" in waveform.spectrogram_html(waveform.samples(tone(0.01)))


def test_pictures_of_five_minutes_take_a_fraction_of_a_second():
    sound = np.random.default_rng(0).standard_normal(300 * 16_000).astype(np.float32) * 0.1
    begin = time.perf_counter()
    waveform.waveform_html(sound)
    waveform.spectrogram_html(sound)
    assert time.perf_counter() - begin < 0.5
