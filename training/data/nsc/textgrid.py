"""Praat's TextGrid, long and short, with the quotation marks that transcribers forgot to double.

https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from training.data.ledger import Ledger, Rejected
from training.data.nsc.scripts import read_text
from training.data.tags import is_silence

NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
TIER = re.compile(r'^\s*class\s*=\s*"(\w+)"\s*$', re.MULTILINE)
SIZE = re.compile(r"^\s*intervals\s*:\s*size\s*=\s*(\d+)", re.MULTILINE)
INTERVAL = re.compile(
    rf'^\s*xmin\s*=\s*({NUMBER})\s*$\s*xmax\s*=\s*({NUMBER})\s*$\s*text\s*=\s*"(.*?)"[ \t]*$'
    r"(?=\s*(?:intervals\s*\[|item\s*\[|\Z))",
    re.MULTILINE | re.DOTALL,
)
END = re.compile(rf"^\s*xmax\s*=\s*({NUMBER})", re.MULTILINE)
TOKEN = re.compile(rf'"((?:[^"]|"")*)"|(<exists>)|(?<!\S)({NUMBER})(?!\S)')


@dataclass(frozen=True)
class Interval:
    """From `start` to `end` in seconds `text` is said."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Script:
    """One speaker's side of a recording that is `seconds` long, intervals of silence left out."""

    seconds: float
    intervals: tuple[Interval, ...]


def read(path: Path, ledger: Ledger) -> Script:
    """The only tier with words in it.

    Raises Rejected: not a TextGrid, fewer intervals than it says, words in several tiers.
    """
    text = read_text(path, ledger).replace("\r\n", "\n").replace("\r", "\n")
    if text.startswith("ooBinaryFile"):
        raise Rejected("script_unreadable", f"{path.name} is a binary TextGrid; save it as text in Praat")
    if "TextGrid" not in text[:200]:
        raise Rejected("script_unreadable", f"{path.name} does not begin as a TextGrid does")
    seconds, tiers = _long(path, text) if END.search(text) else _short(path, text)
    spoken = [tier for tier in tiers if tier]
    if len(spoken) > 1:
        raise Rejected("script_unreadable", f"{path.name} has words in {len(spoken)} tiers; one is expected")
    return Script(seconds, tuple(spoken[0]) if spoken else ())


def _long(path: Path, text: str) -> tuple[float, list[list[Interval]]]:
    end = END.search(text)
    assert end is not None
    starts = [match.start() for match in TIER.finditer(text) if match[1] == "IntervalTier"]
    tiers = []
    for start, stop in zip(starts, [*starts[1:], len(text)], strict=True):
        part = text[start:stop]
        found = [Interval(float(m[1]), float(m[2]), m[3].replace('""', '"')) for m in INTERVAL.finditer(part)]
        size = SIZE.search(part)
        if size is None or int(size[1]) != len(found):
            said = size[1] if size else "an unknown number of"
            raise Rejected("script_unreadable", f"{path.name}: {said} intervals, {len(found)} can be read")
        tiers.append(_spoken(found))
    return float(end[1]), tiers


def _short(path: Path, text: str) -> tuple[float, list[list[Interval]]]:
    """Numbers and strings in a fixed order, without names."""
    tokens = [m[3] if m[3] is not None else (m[2] or f'"{m[1]}') for m in TOKEN.finditer(text)]
    waiting = iter(tokens)

    def number() -> float:
        return float(next(waiting))

    def words() -> str:
        return next(waiting)[1:].replace('""', '"')

    try:
        next(waiting), next(waiting), next(waiting)  # "ooTextFile", "TextGrid", xmin
        seconds, tiers = number(), []
        next(waiting)  # <exists>
        for _ in range(int(number())):
            kind, _name, _start, _end, size = words(), words(), number(), number(), int(number())
            if kind != "IntervalTier":
                for _ in range(2 * size):
                    next(waiting)
                continue
            tiers.append(_spoken([Interval(number(), number(), words()) for _ in range(size)]))
    except (StopIteration, ValueError):
        raise Rejected("script_unreadable", f"{path.name} breaks off or is out of order") from None
    return seconds, tiers


def _spoken(intervals: list[Interval]) -> list[Interval]:
    return [interval for interval in intervals if not is_silence(interval.text)]
