"""Figures in plain words."""

import pytest

from ui.wire import Queued, Timing
from ui.words import again_line, queue_line, seconds, timing_line


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.04, "0.0 s"),
        (0.84, "0.8 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (125.2, "2 min 5 s"),
    ],
)
def test_durations(value: float, words: str):
    assert seconds(value) == words


def test_timing_says_what_was_measured():
    timing = Timing(total_ms=2100, ttft_ms=900, asr_ms=800, queue_ms=3, cache="miss")
    assert timing_line(timing, 10) == "Heard your 10 s clip in 0.8 s, first word after 0.9 s, done in 2.1 s."


def test_timing_mentions_a_queue_worth_mentioning():
    assert (
        timing_line(Timing(total_ms=5000, queue_ms=3000), 10) == "Waited 3.0 s for its turn, done in 5.0 s."
    )


def test_timing_of_a_remembered_answer_claims_no_listening():
    line = timing_line(Timing(total_ms=12, asr_ms=800, cache="hit"), 10)
    assert "asked before" in line
    assert "Heard" not in line


def test_timing_without_figures_says_nothing():
    assert timing_line(Timing(), 10) == ""


def test_timing_of_a_second_question_about_a_clip_claims_no_listening():
    line = timing_line(Timing(total_ms=2100, asr_ms=0.1), 10)
    assert line == "Remembered your 10 s clip, done in 2.1 s."


def test_a_place_in_the_queue():
    assert queue_line(Queued(3, 7)) == "You are number 3 in the queue."
    assert queue_line(Queued(1, 7)) == "You are next in the queue."


@pytest.mark.parametrize(
    ("after_s", "line"),
    [
        (0, ""),
        (2, " It should work again in a few seconds."),
        (20, " It should work again in about 20 s."),
        (90, " It should work again in about 1 min 30 s."),
    ],
)
def test_when_it_works_again(after_s: int, line: str):
    assert again_line(after_s) == line
