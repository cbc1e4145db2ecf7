"""Transcripts beside one another, word by word, and beside the truth."""

from __future__ import annotations

import random

import pytest

from ui.picker.agreement import MAX_WORDS, Agreement, WordErrors, agreement, word_errors
from ui.picker.spelling import words


def forms(text: str) -> list[str]:
    return [word.form for word in words(text)]


def shown(laid: Agreement | None) -> list[str]:
    """Transcripts with what differs in brackets and a gap as an underscore."""
    assert laid
    signs = {"same": "{}", "differs": "[{}]", "gap": "_"}
    return ["".join(signs[piece.kind].format(piece.text) for piece in one) for one in laid.transcripts]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Can, can!", "can can"),
        ("I’m here", "I'm here"),
        ("Twenty minutes", "20 minutes"),
        ("twenty-one and twenty one", "21 and 21"),
        ("It is $18, ok?", "it is eighteen dollars okay"),
        ("1,000 people", "1000 people"),
        ("five per cent", "5%"),
        ("a four-room flat", "a four room flat"),
        ("We apologise for it", "we apologize for it"),
        ("Um, the er bus", "the bus"),
        ("ＡＢＣ", "abc"),
        ("", "— … !"),
    ],
)
def test_the_same_words_written_otherwise_are_the_same(one: str, other: str):
    assert forms(one) == forms(other)


@pytest.mark.parametrize(
    ("one", "other"), [("9.50", "950"), ("its", "it's"), ("kopi o", "kopio"), ("three", "tree")]
)
def test_other_words_are_not_the_same(one: str, other: str):
    assert forms(one) != forms(other)


def test_scripts_without_spaces_have_a_word_a_character_and_marks_stay_with_their_letters():
    assert forms("你好，世界") == ["你", "好", "世", "界"]
    assert forms("வணக்கம் நண்பரே") == ["வணக்கம்", "நண்பரே"]
    assert len(forms("ที่นี่")) == 2


def test_a_word_knows_where_it_stands():
    text = "Wah, $18 lah!"
    assert [text[word.start : word.end] for word in words(text)] == ["Wah", "$18", "$18", "lah"]


@pytest.mark.parametrize(
    ("truth", "said", "errors"),
    [
        ("the cat sat on the mat", "the cat sat on the mat", (0, 0, 0)),
        ("the cat sat on the mat", "the cat sit on mat", (1, 1, 0)),
        ("the cat sat", "the fat cat sat down", (0, 0, 2)),
        ("go to Bishan", "", (0, 3, 0)),
        ("uncle one chicken rice can", "and call one chicken rice can", (1, 0, 1)),
        ("你好吗", "你好马", (1, 0, 0)),
    ],
)
def test_errors_are_counted_as_by_hand(truth: str, said: str, errors: tuple[int, int, int]):
    assert word_errors(truth, said) == WordErrors(len(words(truth)), *errors)


def test_rates():
    assert WordErrors(8, 1, 1, 0).rate == 0.25
    assert WordErrors(2, 2, 0, 2).rate == 2.0
    assert WordErrors(0, 0, 0, 0).rate == 0.0
    assert WordErrors(0, 0, 0, 1).rate == 1.0


def test_the_fewest_errors_are_found_as_a_plain_table_finds_them():
    draw = random.Random(7)
    for _ in range(60):
        one, other = (draw.choices("abcd", k=draw.randrange(12)) for _ in range(2))
        found = word_errors(" ".join(one), " ".join(other))
        assert found
        assert found.total == levenshtein(one, other)
        assert found.words - found.missing + found.added == len(other)


def levenshtein(one: list[str], other: list[str]) -> int:
    row = list(range(len(other) + 1))
    for i, word in enumerate(one, start=1):
        before, row = row, [i]
        for j, said in enumerate(other, start=1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (word != said)))
    return row[-1]


def test_what_differs_is_marked_and_what_is_not_there_is_a_gap():
    assert shown(
        agreement(["Uncle, one kopi o, can?", "Uncle, one kopi, can?", "Auntie, one kopi o. Can!"])
    ) == [
        "[Uncle], one kopi [o], can?",
        "[Uncle], one kopi_, can?",
        "[Auntie], one kopi [o]. Can!",
    ]


def test_neighbours_that_differ_are_one_mark():
    laid = agreement(["we eat here lah", "we it ear lah"])
    assert shown(laid) == ["we [eat here] lah", "we [it ear] lah"]
    assert laid and (laid.agreed, laid.places) == (2, 4)


def test_a_word_among_others_does_not_shift_the_rest():
    one = "the launch is on Friday and the icons are late"
    assert shown(agreement([one, one.replace("launch", "big launch"), one])) == [
        "the_ launch is on Friday and the icons are late",
        "the [big] launch is on Friday and the icons are late",
        "the_ launch is on Friday and the icons are late",
    ]


def test_what_was_written_comes_back_whole():
    texts = ["$18 lah, so 贵! <b>", "eighteen dollars so 贵 </b> leh", "", "  \n"]
    laid = agreement(texts)
    assert laid
    assert ["".join(piece.text for piece in one) for one in laid.transcripts] == texts


def test_all_the_same_and_nothing_at_all():
    laid = agreement(["Can.", "can"])
    assert laid and laid.agreed == laid.places == 1
    nothing = agreement(["", ""])
    assert nothing and nothing.places == 0


def test_one_text_or_one_too_long_is_not_laid_out():
    assert agreement(["only one"]) is None
    assert agreement(["word " * (MAX_WORDS + 1), "word"]) is None
    assert word_errors("word", "word " * (MAX_WORDS + 1)) is None
    assert agreement(["word " * MAX_WORDS, "word"]) is not None
