from __future__ import annotations

import pytest

from training.wer import WordErrors, edits, normaliser, word_errors


def test_the_fewest_edits_are_counted() -> None:
    assert edits(list("kitten"), list("sitting")) == 3
    assert edits([], ["lah"]) == 1
    assert edits(["lah"], []) == 1


def test_case_marks_and_ways_to_write_a_number_are_no_errors() -> None:
    assert word_errors([("It's twenty-one dollars.", "it is $21")], normaliser()) == WordErrors(0, 3)


@pytest.mark.parametrize(
    ("said", "heard"),
    [("can lah", "can"), ("Can [lah]!", "can"), ("!wah! so nice", "so nice"), ("ok leh, hor", "ok leh")],
)
def test_a_particle_is_a_word(said: str, heard: str) -> None:
    assert word_errors([(said, heard)], normaliser()).edits == 1


def test_speakers_names_and_fillers_are_not_words() -> None:
    assert word_errors([("<Speaker1>: (uh) yes um can", "yes can")], normaliser()) == WordErrors(0, 2)


def test_spellings_are_one_word_where_the_tokenizer_knows_them() -> None:
    pair = [("my favourite colour", "my favorite color")]
    assert word_errors(pair, normaliser()).edits == 2
    assert word_errors(pair, normaliser({"favourite": "favorite", "colour": "color"})).edits == 0


def test_rates_are_of_all_words_together_and_no_words_are_no_errors() -> None:
    many, none = word_errors([("a b c d", "a b c"), ("e", "f")], normaliser()), WordErrors(0, 0)
    assert many.rate == pytest.approx(2 / 5)
    assert none.rate == 0
