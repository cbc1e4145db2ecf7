"""Pronunciation lexicons of two accents: which files, and how a word is found in one."""

import json
import re
from array import array
from bisect import bisect_left
from pathlib import Path
from typing import Literal

from model.embedded.weights import MISAKI_GOLD, MISAKI_SILVER, Asset

Accent = Literal["us", "gb"]

GB_GOLD = Asset(
    "gb_gold.json",
    (("misaki", "data/gb_gold.json"),),
    2_838_552,
    "29e62f4b60261c88f7f3c2c7811ca3825978948090b72d2b27d565b729282f71",
    MISAKI_GOLD.source,
    MISAKI_GOLD.licence,
)
GB_SILVER = Asset(
    "gb_silver.json",
    (("misaki", "data/gb_silver.json"),),
    3_663_898,
    "48131e2d92ccc41655f4543e87e0f938e71463eb5a54be7f0693bb712ebb6bce",
    MISAKI_GOLD.source,
    MISAKI_GOLD.licence,
)
LEXICONS: dict[Accent, tuple[Asset, Asset]] = {
    "us": (MISAKI_GOLD, MISAKI_SILVER),
    "gb": (GB_GOLD, GB_SILVER),
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
