"""The error rate counts what was misheard, not how a number was written."""

import pytest

from samples.wer import align, errors, without


@pytest.mark.parametrize(
    ("reference", "heard"),
    [
        ("Come at 3:15, to Block 245.", "come at 315 to block two four five"),
        ("It costs $9.50.", "It costs 9.50 dollars"),
        ("at 6 p.m. sharp", "at six PM sharp"),
        ("a check-up and a takeaway", "A checkup and a take away"),
        ("The colour of the centre", "the color of the center"),
        ("Don't go, it's OK.", "dont go its okay"),
        ("1,200 people", "1200 people"),
    ],
)
def test_writing_does_not_count(reference: str, heard: str) -> None:
    assert errors(align(reference, heard))[0] == 0


@pytest.mark.parametrize(
    ("reference", "heard", "wrong", "total"),
    [
        ("one two three", "one two three", 0, 3),
        ("a b c d", "a x c", 2, 4),
        ("a b", "a b c", 1, 2),
        ("a b", "", 2, 2),
        ("", "a", 1, 0),
    ],
)
def test_errors(reference: str, heard: str, wrong: int, total: int) -> None:
    assert errors(align(reference, heard)) == (wrong, total)


def test_words_can_be_left_out_with_what_was_added_beside_them() -> None:
    pairs = align("go to toa payoh now", "go to tow a pie now")
    assert errors(pairs)[0] == 3
    assert errors(without(pairs, frozenset({"toa", "payoh"}))) == (0, 3)
