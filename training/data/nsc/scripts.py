"""Scripts of parts 1 and 2: a line with an id and the prompt, then one with a tab and what was said."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.data.ledger import Ledger, Rejected

# The id is nine digits: channel, speaker (4), session, sentence (3). Some files have stray signs before it.
ENTRY = re.compile(r"\D{0,3}(\d{9})[ \t]+(.*)")
BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True)
class Entry:
    """One sentence: as it was to be read, and as it was (empty where the script has no second line)."""

    id: str
    prompt: str
    normalised: str


def entries(path: Path, ledger: Ledger) -> list[Entry]:
    """The entries of a script; lines and ids that are none are dropped into `ledger`.

    Raises Rejected where the file cannot be read as text.
    """
    found: dict[str, Entry] = {}
    contradicted: set[str] = set()
    for entry in _parsed(path, ledger):
        first = found.setdefault(entry.id, entry)
        if first is not entry:
            ledger.drop("duplicate_id", f"{path.name}: {entry.id} stands there twice")
            if first.prompt != entry.prompt:
                contradicted.add(entry.id)
    # Which of the two sentences the one recording holds cannot be known.
    for id in sorted(contradicted):
        ledger.drop("duplicate_id", f"{path.name}: {id} stands there with different words")
        del found[id]
    return list(found.values())


def read_text(path: Path, ledger: Ledger) -> str:
    """A text file in UTF-8, UTF-16 or Windows-1252. Raises Rejected where it is in none of them."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Rejected("script_unreadable", f"{path.name}: {error.strerror}") from None
    encodings = [name for bom, name in BOMS.items() if content.startswith(bom)] or ["utf-8"]
    if content[1:200:2].count(0) > len(content[1:200:2]) // 2:
        encodings = ["utf-16" if encodings == ["utf-16"] else "utf-16-le"]
    for encoding in (*encodings, "cp1252"):
        try:
            text = content.decode(encoding)
        except UnicodeError:
            continue
        if not encoding.startswith("utf-8"):
            ledger.repair("script_encoding", f"{path.name} read as {encoding}")
        return text
    raise Rejected("script_unreadable", f"{path.name} is neither UTF-8, UTF-16 nor Windows-1252")


def _parsed(path: Path, ledger: Ledger) -> Iterator[Entry]:
    waiting: tuple[str, str] | None = None
    for number, line in enumerate(read_text(path, ledger).splitlines(), 1):
        if match := ENTRY.fullmatch(line):
            if waiting:
                yield Entry(*waiting, "")
            waiting = match[1], match[2].strip()
        elif waiting and line[:1] in ("\t", " ") and line.strip():
            yield Entry(*waiting, line.strip())
            waiting = None
        elif line.strip("\ufeff\x1a \t"):
            ledger.drop("bad_line", f"{path.name}, line {number}: {line[:60]!r}")
    if waiting:
        yield Entry(*waiting, "")
