"""A known answer stands in what was said, however numbers are written, and never by accident."""

from __future__ import annotations

import pytest

from evaluation.metrics import contains


@pytest.mark.parametrize(
    ("accepted", "answer"),
    [
        ("Clarke Quay", "They are going to Clarke Quay."),
        ("clarke quay", "CLARKE QUAY!"),
        ("five", "There are 5 people."),
        ("5", "There are five people."),
        ("twenty one", "It is 21."),
        ("21", "Twenty-one, I think."),
        ("245", "Block two four five"),
        ("two four five", "Block 245"),
        ("3:15", "At three fifteen."),
        ("three fifteen", "The time is 3:15 pm."),
        ("315", "3:15"),
        ("nine dollars", "It costs $9."),
        ("9", "It costs nine dollars."),
        ("20 percent", "20% of them"),
        ("20", "20 percent"),
        ("$9.50", "It is 9.50 dollars"),
        ("2,300", "two thousand three hundred people"),
        ("first", "the 1st of May"),
        ("don't know", "I don’t know."),
        ("I'm tired", "I am tired"),
        ("colour", "The color is red"),
        ("red", "It is [red]."),
        ("red", "(red)"),
        ("yes, sir", "Yes sir"),
        ("3", "2, 3 and 5"),
        ("5", "Oh, 5."),
        ("你好", "他说你好吗"),
        ("７", "seven"),
        ("kopi", "kopi-o kosong"),
    ],
)
def test_an_accepted_phrase_is_found(accepted: str, answer: str) -> None:
    assert contains.is_right(["not this", accepted], [], answer)


@pytest.mark.parametrize(
    ("accepted", "answer"),
    [
        ("male", "The speaker is female."),
        ("5", "There are 56 people."),
        ("five", "fifty six"),
        ("5", "block 2 4 5"),
        ("15", "3:15"),
        ("9", "9.50"),
        ("Clarke Quay", "Quay Clarke"),
        ("Clarke Quay", "Clarke, at the Quay"),
        ("can", "cannot"),
        ("red", ""),
        ("red", "   "),
        ("", "anything"),
        ("...", "anything..."),
        ("()", "()"),
        ("23", "2, 3"),
    ],
)
def test_other_words_are_not(accepted: str, answer: str) -> None:
    assert not contains.is_right([accepted], [], answer)


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("A woman.", True),
        ("a man", False),
        ("A woman, not a man.", False),
        ("MAN or woman?", False),
        ("", False),
    ],
)
def test_a_rejected_phrase_makes_an_answer_wrong(answer: str, right: bool) -> None:
    assert contains.is_right(["woman", "female"], ["man", "male"], answer) == right


def test_nothing_accepted_is_never_right() -> None:
    assert not contains.is_right([], [], "anything")


@pytest.mark.parametrize("unit", ["[", "{", "9", "no ", "\n", "."])
def test_an_answer_that_repeats_itself_ends(unit: str) -> None:
    assert not contains.is_right(["yes"], ["perhaps"], unit * 50_000)
