"""The texts of synthetic speech: many, true to what is known of them, and apart from split to split."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest

from training.data.synthesise.others import OtherVoice
from training.data.synthesise.tasks import asked
from training.data.synthesise.texts.draw import KINDS, READING, drawn, split_of
from training.data.synthesise.texts.lists import common_words, lists
from training.data.synthesise.texts.numbers import english, phone, price, small, time
from training.data.synthesise.texts.templates import SLOT, filled, templates

MAN, WOMAN = OtherVoice("flite", "awb"), OtherVoice("flite", "slt")
EVEN = {kind: 1.0 for kind in KINDS if kind != READING}


def test_numbers_are_said_as_in_singapore() -> None:
    said = {0: "zero", 19: "nineteen", 40: "forty", 87: "eighty seven", 205: "two hundred and five"}
    said |= {
        1000: "one thousand",
        1013: "one thousand and thirteen",
        9999: "nine thousand nine hundred and ninety nine",
    }
    assert {number: english(number) for number in said} == said
    chance = Random(0)
    assert re.fullmatch(r"(\w+ ){3}\w+, (\w+ ){3}\w+", phone(chance).english)
    assert all(re.search(r"dollars?|cents", price(chance).english) for _ in range(50))
    assert all("oh forty" not in time(chance).english for _ in range(200))
    two = next(value for value in iter(lambda: small(chance), None) if value.number == 2)
    assert (two.english, two.malay, two.chinese) == ("two", "dua", "两")


def test_every_template_fills_in_all_its_languages() -> None:
    for kind, rows in templates().items():
        for number, template in rows:
            for seed in range(2000):
                part = filled(kind, Random(f"{number}/{seed}"))
                if part.template == number:
                    break
            else:
                pytest.fail(f"{kind} {number} is never drawn")
            texts = [part.words, part.gist, part.malay, part.chinese, part.answer, *sum(part.facts, ())]
            assert not any(re.search(r"[{}<>|]|  | [,.?]|\ba [aeio]\w", text) for text in texts), texts
            assert bool(part.malay) == bool(part.chinese) == ("malay" in template)


def test_answers_hold_what_was_said() -> None:
    for seed in range(300):
        text = drawn("train", Random(seed), {"statement": 1, "dialogue": 1, "passage": 1}, 60)
        heard = text.words.lower()
        for question, answer in text.facts:
            assert question.endswith("?") and answer.endswith(".")
            names = re.findall(r"(?<=[a-z] )[A-Z]\w+", answer)
            assert all(name.lower() in heard for name in names), (text, answer)


def test_requests_are_worked_out() -> None:
    answers = {}
    for seed in range(400):
        text = drawn("train", Random(seed), {"request": 1}, 60)
        answers[text.words] = text.answer
    for words, answer in answers.items():
        if match := re.search(r"(\w+) plus (\w+)", words):
            numbers = {english(n): n for n in range(30)}
            assert answer == f"{english(numbers[match[1].lower()] + numbers[match[2]]).capitalize()}."
        if "after Sunday" in words:
            assert answer == "Monday."
        if "after December" in words:
            assert answer == "January."


def test_the_same_seed_gives_the_same_text() -> None:
    for seed in range(20):
        assert drawn("train", Random(seed), EVEN, 60) == drawn("train", Random(seed), EVEN, 60)


def test_there_are_more_than_a_million_sentences() -> None:
    sizes = {name: len(values) for name, values in lists().items()} | {"who": 80, "small": 11, "time": 50}
    sizes |= {"number": 9998, "price": 500, "word": len(common_words())}
    distinct = 0
    for _, template in templates()["statement"]:
        product = 1
        for slot in SLOT.findall(template["text"]):
            product *= sizes.get(slot.partition(".")[0], 1)
        distinct += product
    assert distinct > 1e6
    texts = [
        drawn("train", Random(seed), {"statement": 1, "story": 1, "passage": 1}, 60).words
        for seed in range(2000)
    ]
    assert len(set(texts)) > 0.99 * len(texts)
    assert len(common_words()) > 8_000


def test_no_sentence_is_in_two_splits() -> None:
    for split in ("train", "dev", "test"):
        for seed in range(5):
            text = drawn(split, Random(seed), {"statement": 1, "dialogue": 1, "story": 1}, 60)
            assert split_of(text.words) == split
    shares = Counter(split_of(f"sentence number {number}") for number in range(5000))
    assert shares["train"] / 5000 == pytest.approx(0.98, abs=0.01)


def test_lengths_go_from_one_word_to_sixty() -> None:
    lengths = [len(drawn("train", Random(seed), EVEN, 60).words.split()) for seed in range(600)]
    assert min(lengths) <= 3 and 50 <= max(lengths) <= 60


def test_dialogues_name_their_speakers_and_others_do_not() -> None:
    dialogue = drawn("train", Random(1), {"dialogue": 1}, 60)
    assert dialogue.transcript.startswith("<Speaker1>: ") and "<Speaker2>: " in dialogue.transcript
    assert "Speaker" not in drawn("train", Random(1), {"passage": 1}, 60).transcript


def test_a_clip_is_asked_what_its_making_answers() -> None:
    every = dict.fromkeys(
        ("asr", "accent", "sqa", "sds", "gender", "speakers", "rate", "speech", "translation"), 1.0
    )
    dialogue = drawn("train", Random(3), {"dialogue": 1}, 60)
    rows = {row.task: row for row in asked(dialogue, MAN, 10.0, every, Random(0))}
    assert rows["asr"].answer == dialogue.transcript
    assert rows["sds"].answer == dialogue.gist
    assert rows["speakers"].answer in ("Two speakers.", "Three speakers.")
    assert "gender" not in rows and "rate" not in rows
    phrase = drawn("train", Random(4), {"phrase": 1}, 60)
    words = len(phrase.words.split())
    slow = {row.task: row for row in asked(phrase, WOMAN, words / 1.5, every, Random(0))}
    fast = {row.task: row for row in asked(phrase, MAN, words / 4 + 2, every, Random(0))}
    assert slow["rate"].answer == "The speech is slow."
    assert (slow["gender"].answer, fast["gender"].answer) == (
        "The speaker is a woman.",
        "The speaker is a man.",
    )
    assert fast["accent"].answer == "The speaker has a Scottish accent."
    assert slow["translation"].answer in (phrase.malay, phrase.chinese)
    assert [row.task for row in asked(phrase, MAN, 3.0, {}, Random(0))] == ["asr"]
