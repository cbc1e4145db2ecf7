"""Conversations are cut where nobody speaks, and nothing is lost without a word."""

from __future__ import annotations

import random

import pytest

from training.data.ledger import Ledger
from training.data.windows import Turn, Window, windows


def cut(
    turns: list[Turn], seconds: float, longest: float = 30.0, padding: float = 0.1
) -> tuple[list[Window], Ledger]:
    heard = Ledger()
    found = list(windows(turns, seconds, longest, padding, heard, "talk"))
    written = [turn for turn in turns if turn.text is not None]
    assert heard.balanced and heard.read == len(written)
    return found, heard


def test_turns_fill_a_window_and_the_next_begins_with_the_turn_that_did_not_fit() -> None:
    turns = [Turn(10.0 * n, 10.0 * n + 9, n % 2, f"turn {n}") for n in range(5)]
    found, _ = cut(turns, 60)
    assert [(window.start, window.end) for window in found] == [(0.0, 29.1), (29.9, 49.1)]
    assert found[1].dialogue == "<Speaker1>: turn 3\n<Speaker2>: turn 4"


def test_who_speaks_first_in_a_window_is_speaker_1_and_lines_change_with_the_speaker() -> None:
    turns = [Turn(1, 2, 1, "hello"), Turn(2.5, 3, 1, "you there"), Turn(3, 4, 0, "yes"), Turn(5, 6, 1, "ok")]
    (window,), _ = cut(turns, 7)
    assert window.dialogue == "<Speaker1>: hello you there\n<Speaker2>: yes\n<Speaker1>: ok"
    assert window.sides == [1, 0]


def test_nothing_is_cut_within_turns_that_lie_over_each_other() -> None:
    turns = [Turn(0, 20, 0, "long"), Turn(19, 35, 1, "over it"), Turn(36, 40, 0, "after")]
    found, heard = cut(turns, 41)
    assert [window.words for window in found] == ["after"]
    assert heard.dropped == {"crosstalk_too_long": 2}


def test_a_turn_longer_than_a_window_is_named_and_parts_its_neighbours() -> None:
    found, heard = cut([Turn(0, 5, 0, "a"), Turn(6, 40, 1, "endless"), Turn(41, 45, 0, "b")], 46)
    assert [window.words for window in found] == ["a", "b"]
    assert heard.dropped == {"turn_too_long": 1}
    assert heard.examples["turn_too_long"] == ["talk, 6.00 to 40.00 s: endless"]


def test_no_window_goes_over_speech_that_was_not_written_down() -> None:
    turns = [Turn(0, 5, 0, "a"), Turn(6, 8, 1, None), Turn(7, 9, 0, "over it"), Turn(10, 15, 0, "b")]
    found, heard = cut(turns, 16)
    assert [(window.words, window.start, window.end) for window in found] == [("a", 0, 5.1), ("b", 9.9, 15.1)]
    assert heard.dropped == {"unintelligible": 1}


@pytest.mark.parametrize("seed", range(20))
def test_any_conversation_keeps_these_rules(seed: int) -> None:
    chance = random.Random(seed)
    turns, at = [], 0.0
    for n in range(80):
        length = chance.choice((0.4, 3, 8, 31))
        turns.append(Turn(at, at + length, chance.randrange(2), chance.choice((f"t{n}", f"u{n}", None))))
        at += max(0.1, length + chance.choice((-2, 0, 0.05, 1)))
    seconds = max(turn.end for turn in turns)
    found, _ = cut(turns, seconds)
    for window in found:
        assert 0 <= window.start < window.end <= seconds and window.end - window.start <= 30 + 1e-9
        inside = [turn for turn in turns if turn.start < window.end - 1e-9 and turn.end > window.start + 1e-9]
        assert sorted(inside, key=lambda turn: (turn.start, turn.end, turn.side)) == list(window.turns)
