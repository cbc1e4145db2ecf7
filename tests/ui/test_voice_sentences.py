"""Where a text that is still being written is cut to be spoken."""

from __future__ import annotations

import random

import pytest

from ui.voice.sentences import LONGEST, Sentences, language_of, speakable


def pieces(text: str, step: int = 3) -> list[str]:
    """Cut a text that comes a few characters at a time."""
    sentences = Sentences()
    found = [piece for at in range(0, len(text), step) for piece in sentences.feed(text[at : at + step])]
    return found + sentences.flush()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The sky is blue. Grass is green.", ["The sky is blue.", "Grass is green."]),
        ("Is it raining? Take an umbrella!", ["Is it raining?", "Take an umbrella!"]),
        ("Mr. Tan meets Dr. Lim at 3.30 p.m. today.", ["Mr. Tan meets Dr. Lim at 3.30 p.m. today."]),
        ("It costs $4.50, e.g. at J. B. Ang's stall.", ["It costs $4.50, e.g. at J. B. Ang's stall."]),
        ("1. Boil the water.\n2. Add the tea.", ["1. Boil the water.", "2. Add the tea."]),
        ("He said “Come in now.” Then he left us.", ["He said “Come in now.”", "Then he left us."]),
        ("天空是蓝色的。草是绿色的！对吗？", ["天空是蓝色的。", "草是绿色的！", "对吗？"]),
        ("Yes. It is open until ten.", ["Yes. It is open until ten."]),
        ("Yes.", ["Yes."]),
        ("Well… that is hard to say.", ["Well… that is hard to say."]),
        ("Point\nby point by point", ["Point\nby point by point"]),
        ("வணக்கம் நண்பரே. எப்படி இருக்கிறீர்கள்?", ["வணக்கம் நண்பரே.", "எப்படி இருக்கிறீர்கள்?"]),
        ("", []),
        (" *** \n ... ", []),
    ],
)
def test_a_text_is_cut_into_sentences(text: str, expected: list[str]):
    assert pieces(text) == expected


def test_how_the_text_comes_changes_nothing():
    text = "Mr. Tan has 3.5 kg of rice. Dr. Lim has none! 天空是蓝色的。Who is right, then? Nobody knows."
    assert len({tuple(pieces(text, step)) for step in range(1, len(text) + 1)}) == 1


def test_a_sentence_is_there_before_the_text_is_whole():
    sentences = Sentences()
    assert sentences.feed("The sky is blue.") == []  # "blue.5" may come yet
    assert sentences.feed(" And") == ["The sky is blue."]


def test_a_long_first_sentence_is_cut_early_at_a_comma():
    text = (
        "If you are hungry and would like something light, a bowl of fish soup at a hawker centre "
        "is a good choice that costs little."
    )
    first = pieces(text)[0]
    assert first == "If you are hungry and would like something light,"


def test_nothing_is_lost_and_nothing_is_too_long():
    chance = random.Random(4)
    words = ["kopi", "Mr.", "3.5", "and,", "so;", "done.", "天空，", "草。", "(why?)", "x" * 400, "…", "\n"]
    for _ in range(200):
        text = " ".join(chance.choices(words, k=60))
        found = pieces(text, chance.randrange(1, 30))
        assert max(map(len, found)) <= LONGEST + 2

        def said(text: str) -> str:
            return "".join(filter(str.isalnum, text))

        assert said("".join(found)) == said(text)


def test_marks_that_are_not_said_are_left_out():
    assert speakable("**Bold** `code` # Title see https://example.com/x now") == "Bold code Title see now"


def test_the_script_tells_the_language():
    assert [language_of(text) for text in ("Hello", "你好", "வணக்கம்", "Selamat")] == ["en", "zh", "ta", "en"]
