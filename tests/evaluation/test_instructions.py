"""What is asked of clips without a question: the same in every run, each sentence about as often."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from evaluation.errors import RegistryError
from evaluation.instructions import draw, load, ours


def test_there_are_as_many_sentences_as_audiobench_has() -> None:
    sizes = {name: len(set(sentences)) for name, sentences in ours().items()}
    into = dict.fromkeys(("st_id", "st_zh", "st_en"), 20)
    others = dict.fromkeys(("si", "gender", "accent", "sentiment", "emotion"), 10)
    assert sizes == {"asr": 9} | into | others


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("st_id", ["Indonesian"]),
        ("st_zh", ["Chinese"]),
        ("st_en", ["English"]),
        ("gender", ["male", "female"]),
        ("sentiment", ["neutral", "positive", "negative"]),
        ("emotion", ["neutral", "joy", "disgust", "sadness", "surprise", "anger", "fear"]),
    ],
)
def test_every_sentence_says_what_to_choose_from(name: str, words: list[str]) -> None:
    assert all(word in sentence for sentence in ours()[name] for word in words)


def test_a_clip_is_asked_the_same_in_every_run() -> None:
    letters = "abcdefghi"
    # Worked out by hand: the first eight bytes of the SHA-256 of "SEED:CLIP", modulo 9.
    assert [draw(letters, f"clip-{number}") for number in range(8)] == list("fdbdehad")
    assert [draw(letters, f"clip-{number}", seed=1) for number in range(40)] != [
        draw(letters, f"clip-{number}") for number in range(40)
    ]


def test_every_sentence_has_its_turn() -> None:
    drawn = Counter(draw(ours()["asr"], f"clip-{number}") for number in range(9_000))
    assert len(drawn) == 9
    assert all(880 < times < 1_120 for times in drawn.values())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('asr = "Write."', "`asr` must be a list of sentences"),
        ("asr = []", "`asr` must be a list of sentences"),
        ('asr = ["Write.", " "]', "none of them empty"),
        ("asr = [1]", "none of them empty"),
        ("asr = [", "is not valid TOML"),
    ],
)
def test_a_wrong_list_is_refused_in_words(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(RegistryError, match=said):
        load(file)


def test_no_file_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"none\.toml, cannot be read"):
        load(tmp_path / "none.toml")
