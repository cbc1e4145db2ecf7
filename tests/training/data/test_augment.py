"""What augmentation does to sound, measured on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.data.augment import Augment, Noise, Reverb, Speed, Telephone, Volume, augmented
from training.data.augment.effects import coloured_noise, faster, in_room, louder, over_telephone, with_noise
from training.data.schema import SAMPLE_RATE

ALL = Augment(Speed(0.5), Reverb(0.5), Noise(0.5), Volume(0.5), Telephone(0.5))


@pytest.fixture(scope="module")
def tone() -> np.ndarray:
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    return (0.1 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)


def level(sound: np.ndarray) -> float:
    return 10 * np.log10(np.mean(np.square(sound, dtype=np.float64)))


def pitch(sound: np.ndarray) -> float:
    return np.argmax(np.abs(np.fft.rfft(sound))) * SAMPLE_RATE / sound.size


@pytest.mark.parametrize("snr", [0.0, 12.0, 30.0])
def test_noise_has_the_ratio_that_was_asked_for(tone: np.ndarray, snr: float) -> None:
    noisy = with_noise(tone, snr, 1.0, np.random.default_rng(0))
    assert level(tone) - level(noisy - tone) == pytest.approx(snr, abs=0.1)


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
def test_noise_falls_with_frequency_as_its_colour_says(slope: float) -> None:
    power = np.abs(np.fft.rfft(coloured_noise(2**18, slope, np.random.default_rng(1)))) ** 2
    frequency = np.fft.rfftfreq(2**18, 1 / SAMPLE_RATE)
    low, high = (power[(frequency > f) & (frequency < 1.2 * f)].mean() for f in (400, 3200))
    assert np.log2(low / high) / 3 == pytest.approx(slope, abs=0.2)


def test_faster_is_shorter_and_higher(tone: np.ndarray) -> None:
    played = faster(tone, 1.1)
    assert played.size == pytest.approx(tone.size / 1.1, abs=2)
    assert pitch(played) == pytest.approx(484, abs=1)


def test_a_room_rings_on_for_its_time(tone: np.ndarray) -> None:
    burst = np.concatenate([tone[: SAMPLE_RATE // 2], np.zeros(SAMPLE_RATE, np.float32)])
    heard = in_room(burst, 0.5, 0.0, np.random.default_rng(0))
    assert heard.size == burst.size
    tail = SAMPLE_RATE // 2
    early, late = (level(heard[tail + start : tail + start + 800]) for start in (800, 4800))
    assert early - late == pytest.approx(60 * 0.25 / 0.5, abs=6)


def test_a_telephone_passes_its_band_only() -> None:
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    for frequency, passes in ((100, False), (1000, True), (3000, True), (6000, False)):
        sound = (0.3 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)
        lost = level(sound) - level(over_telephone(sound)[1000:-1000])
        assert (lost < 3) if passes else (lost > 15)


def test_louder_is_limited_to_full_scale(tone: np.ndarray) -> None:
    assert level(louder(tone, -6)) == pytest.approx(level(tone) - 6, abs=0.1)
    assert np.abs(louder(tone, 40)).max() == 1


def test_the_same_row_epoch_and_seed_sound_the_same(tone: np.ndarray) -> None:
    def heard(row: str = "r", epoch: int = 0, config: Augment = ALL) -> bytes:
        return augmented(tone, row_id=row, task="asr", epoch=epoch, config=config).tobytes()

    assert heard() == heard()
    assert len({heard(epoch=epoch) for epoch in range(20)}) > 10
    assert heard("r") != heard("s") or heard("r", 1) != heard("s", 1)
    assert {heard(epoch=n, config=replace(ALL, seed=1)) for n in range(5)} != {
        heard(epoch=n) for n in range(5)
    }


def test_one_effect_does_not_change_the_dice_of_another(tone: np.ndarray) -> None:
    quiet = augmented(tone, row_id="r", task="asr", epoch=0, config=Augment(volume=Volume(1.0)))
    both = augmented(
        tone, row_id="r", task="asr", epoch=0, config=Augment(volume=Volume(1.0), reverb=Reverb(1.0))
    )
    assert level(both) == pytest.approx(level(quiet), abs=0.2)


def test_nothing_is_changed_by_default(tone: np.ndarray) -> None:
    np.testing.assert_array_equal(augmented(tone, row_id="r", task="asr", epoch=0, config=Augment()), tone)


def test_speed_keeps_away_from_answers_that_it_would_falsify(tone: np.ndarray) -> None:
    fast = Augment(speed=Speed(1.0, (1.2,)))
    sizes = {
        task: augmented(tone, row_id="r", task=task, epoch=0, config=fast).size
        for task in ("asr", "rate", "gender")
    }
    assert sizes["asr"] < sizes["rate"] == sizes["gender"] == tone.size


def test_no_clip_grows_beyond_the_window() -> None:
    longest = np.zeros(30 * SAMPLE_RATE, np.float32)
    slow = Augment(speed=Speed(1.0, (0.9,)))
    assert augmented(longest, row_id="r", task="asr", epoch=0, config=slow).size == longest.size


def test_silence_stays_finite() -> None:
    silence = np.zeros(SAMPLE_RATE, np.float32)
    loud = Augment(Speed(1.0), Reverb(1.0), Noise(1.0), Volume(1.0), Telephone(1.0))
    assert np.isfinite(augmented(silence, row_id="r", task="asr", epoch=0, config=loud)).all()
