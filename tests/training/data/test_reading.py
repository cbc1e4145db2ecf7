"""Texts that others wrote, as a person reads them aloud, and never one that a test says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from training.data.synthesise.corpus import plain
from training.data.synthesise.reading import pool as pools
from training.data.synthesise.reading.pool import NOTHING, Avoided, Pool
from training.data.synthesise.reading.sentences import sentences
from training.data.synthesise.reading.sources import SOURCES, Source, digest
from training.data.synthesise.texts.draw import drawn, split_of
from training.errors import DataError

NOVEL = (
    "Mr. Weston was a native of the town--and born of a respectable family. _She_ said, “I don't know; "
    "do you?” It was in 1815. See Chapter IV. He met Dr. Xyzzyq at noon. THE END. Yes. "
    "A glimpfled word is not read."
)


def test_sentences_are_written_as_they_are_said() -> None:
    assert [said for said in sentences(NOVEL) if said] == [
        "Mr Weston was a native of the town, and born of a respectable family.",
        "She said, I don't know; do you?",
        "He met Dr Xyzzyq at noon.",
    ]


@pytest.fixture
def novel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Source]:
    """A source of our own, of fifty paragraphs."""
    path = tmp_path / "novel"
    words = ["river", "stone", "garden", "window", "letter", "morning", "silver", "thunder", "orange"]
    path.write_text(
        "\n".join(
            f"The {one} was near the {two}. Nobody saw the {two} at all. "
            f"We walked to the {one} and came home."
            for one in words
            for two in words
            if one != two
        )
    )
    source = Source("novel-package", (path,), "ours", lambda paths: iter(paths[0].read_text().splitlines()))
    monkeypatch.setitem(SOURCES, "novels", source)
    pools._paragraphs.cache_clear()
    yield source
    pools._paragraphs.cache_clear()


def test_readings_follow_each_other_and_stay_in_their_split(novel: Source) -> None:
    train = Pool({"novels": 1.0, "harvard": 0.0}, "train", NOTHING)
    text = "\n".join(novel.paragraphs())
    lengths = set()
    for seed in range(300):
        source, words = train.drawn(Random(seed), 30)
        assert source == "novels" and words in text
        parts = re.split(r"(?<=\.) ", words)
        assert all(split_of(part) == "train" for part in parts)
        lengths.add(len(parts))
        assert len(words.split()) <= 30
    assert lengths >= {1, 2, 3}
    for split in ("dev", "test"):
        held_out = Pool({"novels": 1.0}, split, NOTHING).drawn(Random(0), 30)[1]
        assert split_of(held_out) == split
    assert drawn("train", Random(5), {"reading": 1.0}, 30, train).kind == "novels"


def test_what_a_test_says_is_never_read(novel: Source) -> None:
    said = "Nobody saw the river at all."
    longer = "yesterday we walked to the silver and came home too"
    avoided = Avoided.of([plain(said), longer])
    assert avoided.holds(plain(said)) and avoided.holds("we walked to the silver and came")
    assert not avoided.holds("nobody saw the river")
    left = Pool({"novels": 1.0}, "train", avoided)
    read = {left.drawn(Random(seed), 30)[1] for seed in range(3000)}
    assert len(read) > 200
    assert not any(said in words or "walked to the silver and" in words for words in read)


def test_a_package_that_is_missing_is_named_with_its_command(novel: Source) -> None:
    gone = replace(novel, paths=(Path("/none/novel"),))
    with pytest.raises(DataError, match=r"apt-get install --no-install-recommends novel-package"):
        list(gone.paragraphs())


@pytest.mark.skipif(
    not all(path.is_file() for source in SOURCES.values() for path in source.paths),
    reason="needs the Debian packages that training/data/synthesise/reading/sources.py names",
)
def test_every_package_gives_sentences() -> None:
    for name, source in SOURCES.items():
        read: list[str] = []
        for paragraph in source.paragraphs():
            read += [said for said in sentences(paragraph) if said]
            if len(read) > 60:
                break
        assert len(read) > 60, name
        assert not any(re.search(r"[^A-Za-z ,.;:?!'-]|[,.;:] *[,.;:]", said) for said in read), name
        assert len(digest(name)) == 64


@pytest.mark.skipif(not SOURCES["novels"].paths[0].is_file(), reason="needs Debian's r-cran-janeaustenr")
def test_the_novel_of_the_test_set_is_not_read() -> None:
    paragraphs = list(SOURCES["novels"].paragraphs())
    text = " ".join(paragraphs)
    assert "It is a truth universally acknowledged" in text
    assert not re.search(r"Dashwood|Willoughby", text)
