"""Cutting clips into windows, and transcripts into subtitles."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from model.audio import decode
from model.embedded.recogniser import Recognised, without_loop
from model.long_audio.readings import Reading, Word, gap, on_speech, shared_out
from model.long_audio.spans import LONGEST_SPEECH, Sound, Span, speech_spans
from model.long_audio.subtitles import segments, srt, vtt
from model.long_audio.windows import AIR, LONGEST_WINDOW, Window, cut, windows
from tests.speech import human_clips, sample

Pcm = NDArray[np.int16]
RATE = 16_000
QUIET = np.random.default_rng(3)


def room(seconds: float) -> Pcm:
    """A quiet room, 60 dB down."""
    return (QUIET.standard_normal(round(seconds * RATE)) * 30).astype(np.int16)


def spans_of(found: Iterator[Window]) -> list[tuple[float, float]]:
    return [(window.start, window.end) for window in found]


def check(found: Sequence[Window], sound: Sound) -> None:
    """What must hold of any cut: in order, within the clip, readable, no sample twice, all speech in it."""
    edges = [0, *itertools.chain(*((round(w.start * RATE), round(w.end * RATE)) for w in found)), sound.size]
    assert edges == sorted(edges)
    assert all(window.of(sound).size <= 30 * RATE for window in found)
    assert [span for window in found for span in window.speech] == list(speech_spans(sound))
    for window in found:
        assert all(window.start <= span.start < span.end <= window.end for span in window.speech)


def test_short_pauses_stay_inside_a_window() -> None:
    assert spans_of(windows([Span(1, 4), Span(4.5, 9)], 12)) == [(1 - AIR, 9 + AIR)]


def test_no_window_is_longer_than_whisper_reads() -> None:
    spans = [Span(start, start + 4.5) for start in range(0, 300, 5)]
    found = list(windows(spans, 300))
    assert all(window.seconds <= LONGEST_WINDOW + 2 * AIR < 30 for window in found)
    assert found[0].start == 0
    assert found[-1].end == pytest.approx(299.5 + AIR)


def test_a_good_pause_ends_a_window_that_holds_enough() -> None:
    assert len(list(windows([Span(0, 19), Span(20, 25)], 26))) == 2
    assert len(list(windows([Span(0, 10), Span(11, 25)], 26))) == 1


def test_who_reads_less_at_once_gets_shorter_windows_that_end_in_shorter_pauses() -> None:
    spans = [Span(0, 4), Span(4.2, 9.2), Span(9.5, 12), Span(12.1, 20), Span(21, 40)]
    found = list(windows(spans, 42, 14))
    assert [window.speech for window in found] == [
        (spans[0], spans[1], spans[2]),  # the pause of 0.3 s is too short
        (spans[3],),
        (spans[4],),  # nobody pauses in it
    ]
    assert len(list(windows([Span(0, 9), Span(9.4, 12)], 12, 14))) == 2
    assert len(list(windows([Span(0, 9), Span(9.4, 12)], 12))) == 1


@pytest.mark.parametrize("longest", [5, 14])
def test_shorter_windows_hold_all_speech_too(longest: float) -> None:
    clip = decode(sample("st-lecture"))
    found = list(cut(clip, longest))
    check(found, clip)
    assert len(found) > clip.size / RATE / (longest + 2 * AIR)
    assert all(window.seconds <= longest + 2 * AIR for window in found)


def test_a_long_silence_always_ends_a_window() -> None:
    assert len(list(windows([Span(0, 1), Span(5, 6)], 7))) == 2


def test_nothing_said_gives_no_window() -> None:
    assert list(windows([], 10)) == []


def test_windows_share_the_air_of_a_short_pause() -> None:
    assert spans_of(windows([Span(0, 20), Span(20.2, 40)], 40)) == [(0, 20.1), (20.1, 40)]
    assert spans_of(windows([Span(0, 20), Span(20, 40)], 40)) == [(0, 20), (20, 40)]


@pytest.mark.parametrize("seed", range(20))
def test_any_layout_of_speech_is_held_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    edges = np.cumsum(np.column_stack([rng.exponential(1.5, 200), rng.uniform(0.06, 29, 200)]).ravel())
    spans = [Span(float(start), float(end)) for start, end in edges.reshape(-1, 2)]
    found = list(windows(spans, float(edges[-1])))
    assert [span for window in found for span in window.speech] == spans
    assert all(window.seconds <= 29.5 + 1e-9 for window in found)
    assert all(one.end <= other.start for one, other in itertools.pairwise(found))
    assert found[0].start >= 0 and found[-1].end <= edges[-1]
    assert all(w.start <= w.speech[0].start and w.speech[-1].end <= w.end for w in found)


@pytest.fixture(scope="module")
def voices() -> list[Pcm]:
    return [decode(path.read_bytes()) for path, _ in human_clips()]


@pytest.mark.parametrize("seed", range(4))
def test_people_with_pauses_between_are_cut_in_the_pauses(seed: int, voices: list[Pcm]) -> None:
    rng = np.random.default_rng(seed)
    parts: list[Pcm] = []
    joins: list[float] = []  # the middle of each pause, s
    for index in rng.integers(0, len(voices), 25):
        pause = room(rng.uniform(0.5, 6))
        joins.append((sum(part.size for part in parts) + pause.size / 2) / RATE)
        parts += [pause, voices[index]]
    sound = np.concatenate(parts)
    found = list(cut(sound))
    check(found, sound)
    assert len(found) > 5
    floats = list(cut(sound.astype(np.float32) / 32_768))
    assert floats == found
    # Every clip is shorter than a window, and so none is cut where its own voice goes on.
    for window in found:
        inside = [join for join in joins if window.start < join < window.end]
        assert all(pause.seconds > 0.2 for pause in pauses(window)), inside


def pauses(window: Window) -> list[Span]:
    return [Span(one.end, other.start) for one, other in itertools.pairwise(window.speech)]


def test_speech_of_two_minutes_without_a_pause_is_cut_where_the_voice_is_weak(voices: list[Pcm]) -> None:
    without = np.concatenate([span.of(pcm) for pcm in voices for span in tight(pcm)])
    sound = np.tile(without, 1 + 120 * RATE // without.size)[: 120 * RATE]
    found = list(cut(sound))
    check(found, sound)
    level = np.sqrt(np.convolve(sound.astype(float) ** 2, np.ones(800) / 800, "same"))
    typical = np.median(level)
    touching = [one.end for one, other in itertools.pairwise(found) if one.end == other.start]
    assert touching
    assert all(level[round(at * RATE)] < typical / 2 for at in touching)


def tight(pcm: Pcm) -> list[Span]:
    """Where the voice itself is, without the quiet that the detector leaves around it."""
    return [Span(span.start + 0.12, span.end - 0.12) for span in speech_spans(pcm)]


def test_noise_that_passes_for_endless_speech_is_cut_too(voices: list[Pcm]) -> None:
    vowel = max((span for span in speech_spans(voices[0])), key=lambda span: span.seconds).of(voices[0])
    sound = np.tile(vowel[4_000:12_000], 4 * 60)  # two minutes of half a second, with nothing to breathe in
    found = list(cut(sound))
    check(found, sound)
    assert all(span.seconds <= LONGEST_SPEECH * 0.032 + 0.24 for window in found for span in window.speech)


@pytest.mark.parametrize("seconds", [0, 0.05, 1, 29.9, 30, 30.1, 65])
def test_silence_has_no_windows(seconds: float) -> None:
    assert list(cut(np.zeros(round(seconds * RATE), np.int16))) == []
    assert list(cut(room(seconds))) == []


@pytest.mark.parametrize("samples", [1, 511, 512, 513, 800, 30 * RATE - 1, 30 * RATE, 30 * RATE + 1])
def test_speech_of_any_length_is_within_the_clip(samples: int) -> None:
    sound = decode(sample("st-lecture"))[:samples]
    found = list(cut(sound))
    check(found, sound)
    assert bool(found) == (samples >= 30 * RATE - 1)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = decode(sample("sg-tour"))
    whole = list(speech_spans(sound))
    monkeypatch.setattr("model.long_audio.spans.BLOCK_FRAMES", 7)
    assert list(speech_spans(sound)) == whole


def test_twenty_minutes_are_cut_in_little_memory() -> None:
    sound = np.tile(decode(sample("sg-tour")), 11)[: 1_200 * RATE]
    tracemalloc.start()
    found = list(cut(sound))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * 2**20
    assert found[-1].end > 1_190


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


SPEECH = (Span(10, 12), Span(15, 16))


def test_words_without_times_share_the_speech_by_their_letters() -> None:
    words = shared_out("Good day. Yes", SPEECH)
    assert "".join(word.text for word in words) == "Good day. Yes"
    assert [(word.start, word.end) for word in words] == [(10, 11.09), (11.09, 15.18), (15.18, 16)]


def test_a_sentence_that_ends_with_a_span_ends_there() -> None:
    words = shared_out("Abcdef. abc", (Span(0, 7), Span(9, 12)))
    first, second = segments([Reading(Span(0, 12), "en", words=words)])
    assert [(first.text, first.start, first.end), (second.text, second.start, second.end)] == [
        ("Abcdef.", 0, 7),
        ("abc", 9, 12),
    ]


def test_signs_without_spaces_are_words_of_their_own() -> None:
    words = shared_out("我要 kopi。", [Span(0, 7)])
    assert [word.text for word in words] == ["我", "要", " kopi。"]
    assert words[-1].end == 7


def test_words_are_not_drawn_out_over_pauses() -> None:
    timed = [Word(" a", 9.0, 10.5), Word(" b", 10.5, 13), Word(" c", 13, 15.5), Word(" d", 15.5, 17)]
    assert [(word.start, word.end) for word in on_speech(timed, SPEECH)] == [
        (10, 10.5),
        (10.5, 12),
        (15, 15.5),
        (15.5, 16),
    ]
    across = [Word(" on", 11.9, 15.1), Word(" um", 12.5, 13)]
    assert on_speech(across, SPEECH) == across


def test_nothing_to_share() -> None:
    assert shared_out(" ", SPEECH) == []
    assert shared_out("Yes", ()) == []


@pytest.mark.parametrize(
    ("before", "after", "between"),
    [("", "a", ""), ("a", "", ""), ("a.", "B", " "), ("a ", "b", ""), ("好。", "我", ""), ("好", "ok", " ")],
)
def test_windows_are_joined_as_their_script_is_written(before: str, after: str, between: str) -> None:
    assert gap(before, after) == between
