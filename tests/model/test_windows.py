"""Cutting clips into windows, and transcripts into subtitles."""

from __future__ import annotations

import pytest

from model.embedded.recogniser import Recognised, Word, without_loop
from model.embedded.subtitles import segments, srt, vtt
from model.embedded.windows import AIR, LONGEST_WINDOW, Span, windows


def test_short_pauses_stay_inside_a_window() -> None:
    assert windows([Span(1, 4), Span(4.5, 9)], 12) == [Span(1 - AIR, 9 + AIR)]


def test_no_window_is_longer_than_whisper_reads() -> None:
    spans = [Span(start, start + 4.5) for start in range(0, 300, 5)]
    cut = windows(spans, 300)
    assert all(window.seconds <= LONGEST_WINDOW + 2 * AIR < 30 for window in cut)
    assert cut[0].start == 0
    assert cut[-1].end == pytest.approx(299.5 + AIR)


def test_a_good_pause_ends_a_window_that_holds_enough() -> None:
    assert len(windows([Span(0, 19), Span(20, 25)], 26)) == 2
    assert len(windows([Span(0, 10), Span(11, 25)], 26)) == 1


def test_a_long_silence_always_ends_a_window() -> None:
    assert len(windows([Span(0, 1), Span(5, 6)], 7)) == 2


def test_nothing_said_gives_no_window() -> None:
    assert windows([], 10) == []


def test_a_loop_is_cut_back_to_once() -> None:
    assert without_loop([1, 2, *[7, 8, 9, 10, 11] * 4]) == [1, 2, 7, 8, 9, 10, 11]


@pytest.mark.parametrize("tokens", [[], [1], [1, 2, 3], [5, 5, 5], [1, 2, 1, 2, 1, 2]])
def test_what_people_repeat_is_kept(tokens: list[int]) -> None:
    assert without_loop(tokens) == tokens


def window(*words: tuple[str, float, float]) -> Recognised:
    return Recognised(Span(0, 30), "en", words=[Word(text, start, end, 0.9) for text, start, end in words])


def test_sentences_and_pauses_end_subtitles() -> None:
    read = window((" Hello", 0, 0.4), (".", 0.4, 0.5), (" One", 1, 1.2), (" kopi", 2.5, 2.9), ("?", 2.9, 3))
    assert [(found.text, found.start, found.end) for found in segments([read])] == [
        ("Hello.", 0, 0.5),
        ("One", 1, 1.2),
        ("kopi?", 2.5, 3),
    ]


def test_a_decimal_point_ends_no_subtitle() -> None:
    read = window((" $", 0, 0.1), ("9", 0.1, 0.3), (".", 0.3, 0.35), ("50", 0.35, 0.8), (" please", 0.8, 1))
    assert [found.text for found in segments([read])] == ["$9.50 please"]


def test_long_speech_is_cut_to_a_screen() -> None:
    read = window(*((f" word{number}", number * 0.4, number * 0.4 + 0.4) for number in range(60)))
    found = segments([read])
    assert all(len(segment.text) <= 84 and segment.end - segment.start <= 7.01 for segment in found)
    assert " ".join(segment.text for segment in found).split() == [f"word{number}" for number in range(60)]


def test_clocks() -> None:
    read = window((" Late", 3599.9996, 3661.5))
    assert srt(segments([read])) == "1\n01:00:00,000 --> 01:01:01,500\nLate\n\n"
    assert vtt(segments([window((" <b>", 0, 1))])) == "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n&lt;b>\n\n"
