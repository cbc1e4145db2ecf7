"""What is left of a transcript without the transcribers' marks."""

from __future__ import annotations

import pytest

from training.data.ledger import Rejected
from training.data.settings import Tags
from training.data.tags import is_silence, plain, words


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Okay [ah] I !walao! eat #pasar malam# food (ppb)", "Okay ah I walao eat pasar malam food"),
        ("(uh) we took the N_A_F_A test <SPK/> yesterday .", "uh we took the NAFA test yesterday."),
        ("so <mandarin>我们:wo men</mandarin> go <malay>makan</malay>", "so 我们 go makan"),
        ("<tamil>சாப்பாடு:saappaadu</tamil> is nice <s/>", "சாப்பாடு is nice"),
        ("abbre~ abbreviation", "abbreviation"),
        ("  He said: don't-know lah !  ", "He said: don't-know lah!"),
        ("Really?! No!", "Really?! No!"),
    ],
)
def test_words_stay_and_marks_go(text: str, left: str) -> None:
    assert plain(text, Tags()) == left


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("I saw <UNK> there", "unintelligible"),
        ("I ** there", "unintelligible"),
        ("<NEN> okay", "unintelligible"),
        ("I <LAUGH> there", "unknown_tag"),
        ("a < b", "unknown_tag"),
        ("(ppl) <SPK/>", "empty"),
        ("...", "empty"),
    ],
)
def test_what_cannot_be_written_down_is_rejected_by_name(text: str, rule: str) -> None:
    with pytest.raises(Rejected) as caught:
        plain(text, Tags())
    assert caught.value.rule == rule


def test_the_policy_decides_over_fillers_fragments_and_unintelligible_words() -> None:
    assert plain("(uh) so abbre~ <UNK> yes", Tags("keep", "drop", "keep")) == "so abbre yes"


def test_silence_is_told_from_words_and_from_noise() -> None:
    assert all(map(is_silence, ("", " <S> ", "<s/>", "<Z><S>")))
    assert not any(map(is_silence, ("yes", "<S> yes", "(ppb)", "<NON/>")))


def test_words_are_compared_without_case_marks_labels_and_by_han_character() -> None:
    assert words("<Speaker1>: Don't — stop!\n<Speaker2>: 我们 GO") == ["dont", "stop", "我", "们", "go"]
    assert words("சாப்பாடு நல்லது") == ["சாப்பாடு", "நல்லது"]
