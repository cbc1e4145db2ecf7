"""The sentence that is quoted beside the small text model's answer."""

from __future__ import annotations

import pytest

from model.embedded.evidence import best_sentence, is_question

CALL = (
    "Good afternoon, Bishan Family Clinic. My name is Ravi Kumar, and I have had a cough since Monday. "
    "Doctor Lim is free at 4:45 this afternoon. How much is the consultation? It is $35, medicine is extra. "
    "Please bring your identity card and wear a mask."
)


@pytest.mark.parametrize(
    ("question", "part"),
    [
        ("How much is the consultation fee?", "$35"),
        ("When is Doctor Lim free?", "4:45"),
        ("What should he bring?", "identity card"),
        ("What does she pay?", "$35"),
        ("Since when does he cough?", "Monday"),
    ],
)
def test_the_sentence_that_holds_the_answer_is_found(question: str, part: str) -> None:
    assert part in best_sentence(CALL, question)


def test_words_are_the_same_in_other_forms_and_figures_in_letters() -> None:
    """As a model writes them that spells numbers out."""
    said = "We moved the talk. Temperatures reach thirty three. It is calm. Bring twenty chairs."
    assert best_sentence(said, "What is the highest temperature?") == "Temperatures reach thirty three."
    assert best_sentence(said, "Why did they move it?") == "We moved the talk."
    assert best_sentence("It is calm. Fifty will do.", "How many do they need?") == "Fifty will do."


def test_nothing_is_quoted_when_nothing_fits() -> None:
    assert best_sentence(CALL, "Which football team won?") == ""
    assert best_sentence("", "Who is calling?") == ""


@pytest.mark.parametrize(
    ("text", "asks"),
    [("How much is it?", True), ("who calls", True), ("Rewrite this in standard English.", False)],
)
def test_questions_are_told_from_orders(text: str, asks: bool) -> None:
    assert is_question(text) is asks
