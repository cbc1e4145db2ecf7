"""Which packages hold texts that a person might read aloud, and how each is read: paragraph by paragraph.

apt-get install --no-install-recommends r-cran-janeaustenr r-cran-tokenizers r-cran-stringr wordnet-base
    dasher-data fortunes fortunes-min debian-handbook dict-jargon
"""

# ruff: noqa: SIM905 - a list of words reads better as text

from __future__ import annotations

import gzip
import hashlib
import html
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.errors import DataError

R_LIBRARY = Path("/usr/lib/R/site-library")
WORDNET = tuple(Path("/usr/share/wordnet") / f"data.{part}" for part in ("adj", "adv", "noun", "verb"))
DASHER = Path("/usr/share/dasher/training_english_GB.txt")
HANDBOOK = Path("/usr/share/doc/debian-handbook/html/en-US")
JARGON = Path("/usr/share/dictd/jargon.dict.dz")
FORTUNES = Path("/usr/share/games/fortunes")
# Without those that make fun of peoples or sexes, and without source code.
FORTUNE_FILES = (
    "art computers cookie education food fortunes humorists kids law linux linuxcookie literature magic "
    "medicine miscellaneous news paradoxum people pets platitudes riddles science sports startrek tao wisdom "
    "work"
).split()
HELD_OUT_NOVEL = "SENSE AND SENSIBILITY"  # people's test set reads from it
# A CHARSXP of R's serialisation (R Internals, 1.8): flags, the lowest byte of which is the type, and length.
CHARSXP = re.compile(rb"\x00[\x00-\xff]{2}\x09(?=\x00)")
GLOSS = re.compile(r"^\d{8} \d\d [a-z] [\da-f]{2} (\S+) .*? \| (.*)$")

PARAGRAPH = re.compile(r'<(?:p|div class="para")>(.*?)</(?:p|div)>', re.DOTALL)
TAG = re.compile(r"<[^>]*>")
LINK = re.compile(r"[{}]")
PART_OF_SPEECH = re.compile(r"^\[[^]]*\] *")


@dataclass(frozen=True)
class Source:
    """Texts out of a package. `read` gives paragraphs; they come again in the same order."""

    package: str
    paths: tuple[Path, ...]
    licence: str
    read: Callable[[Sequence[Path]], Iterator[str]]

    def present(self) -> tuple[Path, ...]:
        """Its files. Raises DataError where the package is not installed."""
        if missing := [path for path in self.paths if not path.is_file()]:
            raise DataError(
                f"{missing[0]} is not on this machine. Install it: apt-get install --no-install-recommends "
                f"{self.package}. Or leave its texts out of `reading`."
            )
        return self.paths

    def paragraphs(self) -> Iterator[str]:
        """Everything in it. Raises DataError where the package is not installed."""
        return self.read(self.present())


def _novels(paths: Sequence[Path]) -> Iterator[str]:
    for text in _r_texts(paths[0]):
        if not text[0].startswith(HELD_OUT_NOVEL):
            yield from _joined(text)


def _moby_dick(paths: Sequence[Path]) -> Iterator[str]:
    for text in _r_texts(paths[0]):
        yield from _joined("\n".join(text).splitlines())


def _harvard(paths: Sequence[Path]) -> Iterator[str]:
    for text in _r_texts(paths[0]):
        yield from (line for line in text if line.endswith("."))


def _r_texts(path: Path) -> Iterator[list[str]]:
    """The strings of each object of an R package's data, in its order (R Internals, 1.7, lazy loading)."""
    content, at = path.read_bytes(), 0
    while at < len(content):
        stream = zlib.decompressobj()
        try:
            found = stream.decompress(content[at + 4 :])
        except zlib.error as error:
            raise DataError(f"{path} cannot be read ({error}). Install its package again.") from None
        yield _strings(found)
        at = len(content) - len(stream.unused_data)


def _strings(serialised: bytes) -> list[str]:
    found, at = [], 0
    while match := CHARSXP.search(serialised, at):
        size = int.from_bytes(serialised[match.end() : match.end() + 4], "big")
        at = match.end() + 4 + size
        found.append(serialised[match.end() + 4 : at].decode("utf-8", "replace"))
    return found


def _joined(lines: Iterable[str]) -> Iterator[str]:
    """Paragraphs of lines with empty ones between them."""
    held: list[str] = []
    for line in (*lines, ""):
        if line.strip():
            held.append(line.strip())
        elif held:
            yield " ".join(held)
            held = []


def _lines(paths: Sequence[Path]) -> Iterator[str]:
    # What stands beside each other there does not belong together.
    for path in paths:
        yield from path.read_text("utf-8", "replace").splitlines()


def _fortunes(paths: Sequence[Path]) -> Iterator[str]:
    for path in paths:
        for fortune in path.read_text("utf-8", "replace").split("\n%\n"):
            said = re.split(r"\n\s*--", fortune)[0]  # what follows is who said it
            yield " ".join(said.split())


def _handbook(paths: Sequence[Path]) -> Iterator[str]:
    for path in paths:
        for paragraph in PARAGRAPH.findall(path.read_text("utf-8")):
            yield " ".join(html.unescape(TAG.sub("", paragraph)).split())


def _jargon(paths: Sequence[Path]) -> Iterator[str]:
    with gzip.open(paths[0], "rt", encoding="utf-8") as lines:
        for paragraph in _joined(lines):
            yield LINK.sub("", PART_OF_SPEECH.sub("", paragraph))


def _glosses(paths: Sequence[Path]) -> Iterator[str]:
    for word, meaning, _ in _wordnet(paths):
        yield f"{word[:1].upper()}{word[1:]}: {meaning}."


def _examples(paths: Sequence[Path]) -> Iterator[str]:
    for _, _, examples in _wordnet(paths):
        yield from (f"{text[:1].upper()}{text[1:]}" for text in examples)


def _wordnet(paths: Sequence[Path]) -> Iterator[tuple[str, str, list[str]]]:
    """Each word with its meaning and sentences that use it."""
    for path in paths:
        for line in path.read_text("utf-8").splitlines():
            if match := GLOSS.match(line):
                meaning = re.split(r"; ?\"|;", match[2])[0].strip()
                yield match[1].replace("_", " "), meaning, re.findall(r'"([^"]*)"', match[2])


def digest(name: str) -> str:
    """The sha256 of a source's files. Raises DataError where its package is not installed."""
    found = hashlib.sha256()
    for path in SOURCES[name].present():
        found.update(path.read_bytes())
    return found.hexdigest()


def _r_data(package: str) -> tuple[Path, ...]:
    return (R_LIBRARY / package / "data" / "Rdata.rdb",)


SOURCES = {
    "novels": Source("r-cran-janeaustenr", _r_data("janeaustenr"), "public domain", _novels),
    "moby_dick": Source("r-cran-tokenizers", _r_data("tokenizers"), "public domain", _moby_dick),
    "harvard": Source("r-cran-stringr", _r_data("stringr"), "IEEE 1969; MIT package", _harvard),
    "mixed_prose": Source("dasher-data", (DASHER,), "GPL-2+ package of quoted texts", _lines),
    "fortunes": Source(
        "fortunes fortunes-min",
        tuple(FORTUNES / name for name in FORTUNE_FILES),
        "BSD package of quotations",
        _fortunes,
    ),
    "handbook": Source(
        "debian-handbook",
        tuple(sorted(HANDBOOK.glob("*.html"))) or (HANDBOOK / "index.html",),
        "GPL-2+",
        _handbook,
    ),
    "jargon": Source("dict-jargon", (JARGON,), "public domain", _jargon),
    "glosses": Source("wordnet-base", WORDNET, "WordNet", _glosses),
    "examples": Source("wordnet-base", WORDNET, "WordNet", _examples),
}
"""By the names that `reading` has in a config. Nothing of them is kept but the speech that is made."""
