"""Who speaks: blends of Kokoro's voices, some of which no training clip ever hears.

`voices.npz` holds the style vectors of all 54 voices of npm's `kokoro-js` 1.2.1 (hexgrad's Kokoro-82M,
Apache-2.0). A voice has a style for each of 510 lengths of text, which change the less the longer the text:
21 of them, closer together where texts are short, give back the rest (0.5 % of the norm is lost, 2.4 % at
worst). Made again from a folder of NAME.npy as `samples.voices.bring([])` fetches it:

    python -m training.data.synthesise.voices samples/.voices
"""

# ruff: noqa: S311 - no secrets are drawn

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from model.embedded.lexicon import Accent
from model.embedded.speech import STYLE_ROWS, STYLE_SIZE
from training.data.synthesise.others import Sex

FILE = Path(__file__).with_name("voices.npz")
KNOTS = np.unique(np.round(np.geomspace(1, STYLE_ROWS, 23)).astype(int) - 1)

HELD_OUT = {
    "dev": ("af_river", "bf_alice", "am_liam", "bm_daniel"),
    "test": ("af_nova", "bf_lily", "am_eric", "bm_lewis"),
}
ENGLISH = "ab"  # first letters of the voices that were made of English: American, British
PURE = 0.25  # of the training voices are not blended
MAIN_SHARE = (0.45, 0.95)  # of the first voice of a blend
PITCH = (0.92, 1.1)  # of training voices; 1: as it is

REGIONS = {"a": "American", "b": "British"}

Styles = NDArray[np.float32]


@dataclass(frozen=True)
class Voice:
    """A speaker. `parts`: voices of Kokoro with their shares."""

    parts: tuple[tuple[str, float], ...]
    pitch: float = 1.0

    @property
    def name(self) -> str:
        """A name that tells its parts, such as "af_bella+zf_xiaoni-62"."""
        (first, share), *others = self.parts
        blend = "".join(f"+{name}" for name, _ in others)
        return f"{first}{blend}-{round(100 * share)}-{round(100 * self.pitch)}"

    @property
    def sex(self) -> Sex:
        """As Kokoro names its voices."""
        return "female" if self.parts[0][0][1] == "f" else "male"

    @property
    def engine(self) -> str:
        """Who speaks it."""
        return "kokoro"

    @property
    def region(self) -> str:
        """Where its accent is from; "" for a blend of several."""
        first, *others = {name[0] for name, _ in self.parts}
        return "" if others else REGIONS.get(first, "")

    @property
    def tells_sex(self) -> bool:
        """Whether a listener could tell man from woman."""
        return True

    @property
    def accent(self) -> Accent:
        """Whose pronunciations are read: British ones for British voices, and in Singapore."""
        first, *others = (name for name, _ in self.parts)
        return "us" if first[0] == "a" and not any(name[0] in "zh" for name in others) else "gb"


def voices(split: str, count: int, seed: int) -> list[Voice]:
    """The speakers of a split: `count` blends for train; the voices that were held out for dev and test."""
    if split in HELD_OUT:
        return [Voice(((name, 1.0),)) for name in HELD_OUT[split]]
    chance = Random(f"voices/{seed}")
    kept = [name for name in bases() if not any(name in names for names in HELD_OUT.values())]
    return [_blend(kept, "fm"[number % 2], chance) for number in range(count)]


def bases() -> tuple[str, ...]:
    """The names of Kokoro's voices."""
    with np.load(FILE) as stored:
        return tuple(sorted(stored.files))


def write_styles(folder: Path, chosen: Iterable[Voice]) -> None:
    """Each voice as NAME.npy (510, 1, 256), as `model.embedded.speech.Speech` reads them."""
    with np.load(FILE) as stored:
        for voice in chosen:
            knots = sum(share * stored[name].astype(np.float32) for name, share in voice.parts)
            np.save(folder / f"{voice.name}.npy", _between(knots)[:, None].astype(np.float16))


def _blend(names: list[str], sex: str, chance: Random) -> Voice:
    """An English voice, most often with some of another voice of the same sex, of any language."""
    same = [name for name in names if name[1] == sex]
    first = chance.choice([name for name in same if name[0] in ENGLISH])
    pitch = round(chance.uniform(*PITCH), 2)
    if chance.random() < PURE:
        return Voice(((first, 1.0),), pitch)
    share = round(chance.uniform(*MAIN_SHARE), 2)
    other = chance.choice([name for name in same if name != first])
    return Voice(((first, share), (other, round(1 - share, 2))), pitch)


def _between(knots: Styles) -> Styles:
    """Styles (510, 256) for all lengths from those at `KNOTS`, straight lines between them."""
    lengths = np.arange(STYLE_ROWS)
    return np.stack([np.interp(lengths, KNOTS, knots[:, n]) for n in range(STYLE_SIZE)], axis=1)


def main() -> None:
    """Pack a folder of voices into `voices.npz`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, help="with NAME.npy (510, 1, 256) for each voice")
    paths = sorted(parser.parse_args().folder.glob("*.npy"))
    found = {path.stem: np.load(path) for path in paths if "+" not in path.stem}
    np.savez_compressed(
        FILE,
        **{name: style.reshape(STYLE_ROWS, -1)[KNOTS].astype(np.float16) for name, style in found.items()},
    )


if __name__ == "__main__":
    main()
