"""How often and how strongly the sound of a row is changed: a part of a mixture's YAML."""

from __future__ import annotations

from dataclasses import dataclass, field


def _check(name: str, probability: float, values: tuple[float, ...], low: float, high: float) -> None:
    if not 0 <= probability <= 1:
        raise ValueError(f"{name}.probability is {probability}. Choose one from 0 to 1.")
    if not values or any(not low <= value <= high for value in values):
        raise ValueError(f"{name} holds {list(values)}. Choose values from {low:g} to {high:g}.")


def _check_range(name: str, values: tuple[float, ...]) -> None:
    if len(values) != 2 or values[0] > values[1]:
        raise ValueError(f"{name} is {list(values)}. Give the lowest and the highest value.")


@dataclass(frozen=True)
class Speed:
    """Played faster or slower, pitch included, as Kaldi's speed perturbation (Ko et al. 2015)."""

    probability: float = 0.0
    factors: tuple[float, ...] = (0.9, 1.1)

    def __post_init__(self) -> None:
        _check("speed", self.probability, self.factors, 0.5, 2.0)


@dataclass(frozen=True)
class Reverb:
    """A room: an impulse response of decaying noise."""

    probability: float = 0.0
    rt60_s: tuple[float, ...] = (0.15, 0.7)  # until the sound has fallen by 60 dB
    direct_db: tuple[float, ...] = (0.0, 12.0)  # the direct sound against all reflections

    def __post_init__(self) -> None:
        _check("reverb", self.probability, self.rt60_s, 0.02, 3.0)
        _check_range("reverb.rt60_s", self.rt60_s)
        _check_range("reverb.direct_db", self.direct_db)


@dataclass(frozen=True)
class Noise:
    """Noise under the speech, from white (slope 0) over pink (1) to brown (2)."""

    probability: float = 0.0
    snr_db: tuple[float, ...] = (5.0, 30.0)
    slope: tuple[float, ...] = (0.0, 2.0)

    def __post_init__(self) -> None:
        _check("noise", self.probability, self.snr_db, -20.0, 80.0)
        _check_range("noise.snr_db", self.snr_db)
        _check_range("noise.slope", self.slope)


@dataclass(frozen=True)
class Volume:
    """Louder or softer; what would pass full scale is limited to it."""

    probability: float = 0.0
    gain_db: tuple[float, ...] = (-12.0, 6.0)

    def __post_init__(self) -> None:
        _check("volume", self.probability, self.gain_db, -60.0, 40.0)
        _check_range("volume.gain_db", self.gain_db)


@dataclass(frozen=True)
class Telephone:
    """The 300 to 3,400 Hz of a telephone, in 8-bit mu-law (ITU-T G.711)."""

    probability: float = 0.0

    def __post_init__(self) -> None:
        _check("telephone", self.probability, (0.0,), 0.0, 0.0)


@dataclass(frozen=True)
class Augment:
    """All changes, in the order in which they are made: from the mouth over the room to the line."""

    speed: Speed = field(default_factory=Speed)
    reverb: Reverb = field(default_factory=Reverb)
    noise: Noise = field(default_factory=Noise)
    volume: Volume = field(default_factory=Volume)
    telephone: Telephone = field(default_factory=Telephone)
    seed: int = 0
