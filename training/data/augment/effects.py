"""What rooms, lines and noise do to speech. All take and give float32 (samples,) at 16 kHz."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import butter, fftconvolve, sosfilt

from training.data.schema import SAMPLE_RATE

TELEPHONE_RATE = 8_000  # Hz
TELEPHONE_BAND = (300.0, 3_400.0)  # Hz
MU = 255.0
FIRST_REFLECTION = 0.002  # s after the direct sound

Sound = NDArray[np.float32]


def faster(sound: Sound, factor: float) -> Sound:
    """Played `factor` times as fast: shorter and higher."""
    played: Sound = soxr.resample(sound, factor * SAMPLE_RATE, SAMPLE_RATE)
    return played


def in_room(sound: Sound, rt60: float, direct_db: float, chance: np.random.Generator) -> Sound:
    """Reflections after the direct sound: noise that falls by 60 dB in `rt60` seconds (Moorer 1979)."""
    length = round(SAMPLE_RATE * rt60)
    time = np.arange(length) / SAMPLE_RATE
    tail = chance.standard_normal(length) * 10 ** (-3 * time / rt60)
    tail[: round(SAMPLE_RATE * FIRST_REFLECTION)] = 0
    tail *= 10 ** (-direct_db / 20) / max(float(np.linalg.norm(tail)), 1e-9)
    heard = sound + fftconvolve(sound, tail)[: sound.size]
    return _as_loud_as(sound, heard)


def with_noise(sound: Sound, snr_db: float, slope: float, chance: np.random.Generator) -> Sound:
    """Noise `snr_db` below the sound's mean power; the noise's own falls with frequency ** `slope`."""
    noise = coloured_noise(sound.size, slope, chance)
    return (sound + noise * _rms(sound) * 10 ** (-snr_db / 20)).astype(np.float32)


def coloured_noise(samples: int, slope: float, chance: np.random.Generator) -> Sound:
    """Noise (samples,) of mean power 1: white at slope 0, pink at 1, brown at 2."""
    size = next_fast_len(samples, real=True)
    frequency = np.fft.rfftfreq(size)
    frequency[0] = np.inf  # no constant part
    below_hearing = 20 / SAMPLE_RATE
    spectrum = rfft(chance.standard_normal(size, np.float32))
    spectrum *= np.maximum(frequency, below_hearing, dtype=np.float32) ** np.float32(-slope / 2)
    noise: Sound = irfft(spectrum, size)[:samples]
    return noise / np.float32(max(_rms(noise), 1e-9))


def louder(sound: Sound, gain_db: float) -> Sound:
    """`gain_db` louder, limited to full scale."""
    limited: Sound = np.clip(sound * np.float32(10 ** (gain_db / 20)), -1, 1)
    return limited


def over_telephone(sound: Sound) -> Sound:
    """Band-limited, sampled at 8 kHz and quantised to 8 bits by mu-law."""
    band = butter(4, TELEPHONE_BAND, "bandpass", fs=SAMPLE_RATE, output="sos")
    narrow = np.clip(soxr.resample(sosfilt(band, sound), SAMPLE_RATE, TELEPHONE_RATE), -1, 1)
    squeezed = np.sign(narrow) * np.log1p(MU * np.abs(narrow)) / np.log1p(MU)
    steps = np.round(squeezed * 127) / 127
    opened = np.sign(steps) * np.expm1(np.abs(steps) * np.log1p(MU)) / MU
    wide = soxr.resample(opened, TELEPHONE_RATE, SAMPLE_RATE).astype(np.float32)
    return _long_as(sound, wide)


def _long_as(model: Sound, sound: Sound) -> Sound:
    return np.pad(sound[: model.size], (0, max(0, model.size - sound.size)))


def _as_loud_as(model: Sound, sound: NDArray[np.float64]) -> Sound:
    return (sound * (_rms(model) / max(_rms(sound), 1e-9))).astype(np.float32)


def _rms(sound: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))) if sound.size else 0.0
