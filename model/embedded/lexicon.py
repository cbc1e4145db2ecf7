"""Pronunciation lexicons of two accents: which files, and how a word is found in one."""

import json
import re
from array import array
from bisect import bisect_left
from pathlib import Path
from typing import Literal

from model.embedded.weights import Asset

Accent = Literal["us", "gb"]


def _asset(name: str, size: int, sha256: str) -> Asset:
    # 0.7.4 is the newest release that any Python installs; later ones are for 3.12 and older.
    return Asset(name, (("misaki", f"data/{name}"),), size, sha256, "hexgrad/misaki 0.7.4", "Apache-2.0")


LEXICONS: dict[Accent, tuple[Asset, Asset]] = {
    "us": (
        _asset("us_gold.json", 2_963_612, "363673890e892285fb12c66fc10591a520db4c427943ec14f18df5e5976a242d"),
        _asset(
            "us_silver.json", 3_090_449, "01e066a4af73c60b96178cd1c81862b812b811d1dac72d26a37b420597aa8859"
        ),
    ),
    "gb": (
        _asset("gb_gold.json", 2_788_616, "b4483ec7b2d79b193cc1b923a1d32f3d793670132ef1d0f86048353152ec002a"),
        _asset(
            "gb_silver.json", 3_664_578, "8ecbbe1534db08a2fc1e24b5d6dece73ee605763c9853ceeab3343c033b20742"
        ),
    ),
}

# American sounds to the British alphabet of the same model, for words of our own list and guesses.
TO_BRITISH = (
    ("ɜɹ", "ɜː"),
    ("ɑɹ(?![ˈˌ]?[AIOQWYaiuæɑɔəɛɜɪʊʌ])", "ɑː"),
    ("ɔɹ(?![ˈˌ]?[AIOQWYaiuæɑɔəɛɜɪʊʌ])", "ɔː"),
    ("ɹ(?![ˈˌ]?[AIOQWYaiuæɑɔəɛɜɪʊʌ])", ""),
    ("ɑ(?=[bdfhklmnpstvzŋɡʃʒʤʧθ])", "a"),
    ("ɑ(?!ː)", "ɑː"),
    ("ɔ(?!ː)", "ɔː"),
    ("(?<=[ˈˌ])([^AIOQWYaiuæɑɔəɛɜɪʊʌ]*)([iu])(?!ː)", r"\1\2ː"),
    ("O", "Q"),
    ("æ", "a"),
    ("ɾ", "t"),
    ("ᵻ", "ɪ"),
)


class LexiconFile:
    """One of misaki's JSON lexicons as bytes and line offsets: 3.5 MB, where a dictionary takes 25.

    The files are sorted by key, one entry a line (or a nested block), which a test holds.
    """

    def __init__(self, path: Path) -> None:
        self._bytes = path.read_bytes()
        self._starts = array("I", (match.end() for match in re.finditer(rb'^  "', self._bytes, re.MULTILINE)))

    def _key(self, start: int) -> bytes:
        return self._bytes[start : self._bytes.index(b'": ', start)]

    def get(self, word: str) -> str | dict[str, str | None] | None:
        """The entry of exactly `word`: phonemes, or phonemes by part of speech."""
        key = word.encode(errors="ignore")
        index = bisect_left(self._starts, key, key=self._key)
        if index == len(self._starts) or self._key(self._starts[index]) != key:
            return None
        start = self._starts[index] + len(key) + len(b'": ')
        end = self._bytes.index(b"\n  }" if self._bytes[start : start + 1] == b"{" else b"\n", start)
        entry = self._bytes[start:end].decode().rstrip(",")
        return json.loads(entry + "}" if entry.startswith("{") else entry)  # type: ignore[no-any-return]


def british(phonemes: str) -> str:
    """American phonemes in the British alphabet."""
    for pattern, replacement in TO_BRITISH:
        phonemes = re.sub(pattern, replacement, phonemes)
    return phonemes
