"""What of a second run is new: borders of pieces may differ, and what it says may not."""

from __future__ import annotations

import random
from typing import Any

import pytest

from backend.answer import Done, Head, Heard, Token, Usage
from backend.resume import Again, Diverged, First, Onward, Sent

END = Done("stop")


def pieces(text: str, make: type[Heard] | type[Token], chance: random.Random) -> list[Any]:
    """A text cut at random places."""
    made, at = [], 0
    while at < len(text):
        size = chance.randint(1, 5)
        made.append(make(text[at : at + size]))
        at += size
    return made


def said(items: list[Any], kind: type[Heard] | type[Token]) -> str:
    return "".join(item.text for item in items if isinstance(item, kind))


def test_a_first_run_is_all_new() -> None:
    items = [Heard("one"), Token("two"), END]
    assert First().of(items) is items
    First().end()


@pytest.mark.parametrize("seed", range(20))
def test_two_runs_make_one_answer_wherever_the_first_was_cut(seed: int) -> None:
    chance = random.Random(seed)
    heard, text = "chicken rice 鸡饭 🍚 lah", "It is about food, 两个人, and nothing more."
    whole = [*pieces(heard, Heard, chance), *pieces(text, Token, chance), END]
    got = whole[: chance.randint(0, len(whole) - 1)]
    news = Again(Sent(got))
    again = [*pieces(heard, Heard, chance), *pieces(text, Token, chance), END]
    while again:  # in batches of any size
        size = chance.randint(1, 4)
        got += news.of(again[:size])
        again = again[size:]
    news.end()
    assert (said(got, Heard), said(got, Token), got[-1]) == (heard, text, END)
    assert all(item.text for item in got[:-1])


def test_bytes_are_cut_in_the_middle_too() -> None:
    head = Head("audio/wav")
    sent = Sent([head, b"RIFF", b"12"])
    news = Again(sent)
    assert [*news.of([head, b"RI"]), *news.of([b"FF123", b"4"])] == [b"3", b"4"]
    news.end()


def test_the_channels_are_compared_each_by_itself() -> None:
    """A kept transcript comes at once, and one request may ask for two things: words, hearing, words."""
    sent = Sent([Token("a"), Heard("x"), Token("b"), Heard("y")])
    assert Again(sent).of([Heard("xyz"), Token("abc"), END]) == [Heard("z"), Token("c"), END]


@pytest.mark.parametrize(
    "again",
    [
        [Token("Hello, worms")],
        [Token("Jello, world")],
        [Token("Hello, "), END],
        [Heard("other")],
        [Head("text/html")],
        [Head("audio/wav"), b"RIFX"],
    ],
    ids=["later", "first", "shorter", "heard", "head", "bytes"],
)
def test_another_answer_is_told_apart(again: list[Any]) -> None:
    sent = Sent([Head("audio/wav"), b"RIFF", Heard("ok"), Token("Hello, "), Token("world")])
    with pytest.raises(Diverged) as failure:
        Again(sent).of(again)
    assert failure.value.code == "answer_diverged"
    assert "Asking again is safe." in failure.value.message


def test_bytes_that_end_early_are_told() -> None:
    news = Again(Sent([Head("audio/wav"), b"RIFF"]))
    assert news.of([Head("audio/wav"), b"RI"]) == []
    with pytest.raises(Diverged):
        news.end()


def test_a_continued_answer_repeats_nothing() -> None:
    news = Onward(Sent([Heard("rice"), Token("It is "), Token("about \n")]))
    assert news.begun == "It is about"
    items = [Heard("rice"), Token(" "), Token("\nfood"), Token(" lah"), Done("stop", Usage(20, 3))]
    assert news.of(items) == [Token("food"), Token(" lah"), Done("stop", Usage(18, 5))]
    news.end()


def test_a_model_that_begins_with_the_word_is_joined_as_it_was_sent() -> None:
    news = Onward(Sent([Token("about ")]))
    assert news.of([Token("food"), Token(" "), Token("lah")]) == [Token("food"), Token(" "), Token("lah")]


def test_what_is_heard_for_the_first_time_is_passed_on() -> None:
    assert Onward(Sent([Token("a")])).of([Heard("rice"), Token("b")]) == [Heard("rice"), Token("b")]
