"""Pronunciation lexicons, read as data from the packages that carry them."""

import importlib.util
import json
import re
from array import array
from bisect import bisect_left
from pathlib import Path


def data_folder(package: str) -> Path:
    """Folder of an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"The package {package} is missing; run make demo to install it.")
    return Path(spec.origin).parent


class LexiconFile:
    """One of misaki's JSON lexicons as bytes and line offsets: 3.5 MB of memory, a dictionary would take 25 MB.

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
