"""Speech that a recogniser passed over is found by the times of the words around it, and put in its place."""

from __future__ import annotations

from model.embedded.missed import is_news, passed_over, put_in
from model.long_audio.readings import Word
from model.long_audio.spans import Span

SPEECH = (Span(0, 3), Span(4, 8), Span(9, 12))
FIRST = [Word(f" a{at}", at / 2, at / 2 + 0.5, 0.9) for at in range(6)]
LAST = [Word(f" c{at}", 9.5 + at / 2, 10 + at / 2, 0.9) for at in range(5)]
AGAIN = [Word(f" b{at}", 4 + at / 2, 4.5 + at / 2, 0.9) for at in range(8)]
DRAWN_OUT = Word(" c", 3.4, 9.5, 0.9)  # over the pause, the stretch and the next pause


def texts(words: list[Word]) -> str:
    return "".join(word.text for word in words)


def test_a_stretch_without_words_is_found_and_read_speech_is_not() -> None:
    assert passed_over([*FIRST, DRAWN_OUT, *LAST], SPEECH) == [SPEECH[1]]
    assert passed_over([*FIRST, *AGAIN, *LAST], SPEECH) == []
    assert passed_over([], [Span(0, 1.4)]) == []


def test_one_drawn_out_word_is_enough_for_a_short_stretch() -> None:
    assert passed_over([Word(" Yes", 0.1, 1.9)], [Span(0, 2)]) == []


def test_its_words_go_before_a_word_that_began_in_the_pause() -> None:
    words = put_in(AGAIN, [*FIRST, DRAWN_OUT, *LAST], SPEECH[1], SPEECH)
    assert texts(words) == texts([*FIRST, *AGAIN, DRAWN_OUT, *LAST])
    assert [word.start for word in words] == sorted(word.start for word in words)
    assert words[len(FIRST) + len(AGAIN)].start == 8


def test_its_words_go_behind_a_word_that_began_in_the_speech_before() -> None:
    late = Word(" a6", 2.9, 8.5, 0.9)
    words = put_in(AGAIN, [*FIRST, late, *LAST], SPEECH[1], SPEECH)
    assert texts(words) == texts([*FIRST, late, *AGAIN, *LAST])
    assert words[len(FIRST)].end == 4


def test_the_first_and_the_last_stretch_can_be_missed() -> None:
    assert texts(put_in(FIRST, AGAIN, SPEECH[0], SPEECH)) == texts([*FIRST, *AGAIN])
    assert texts(put_in(LAST, AGAIN, SPEECH[2], SPEECH)) == texts([*AGAIN, *LAST])


def test_words_that_were_read_but_timed_wrongly_are_not_doubled() -> None:
    early = [Word(word.text, word.start - 1.5, word.end - 1.5, 0.9) for word in AGAIN]
    assert not is_news(AGAIN, early, SPEECH[1])
    assert is_news(AGAIN, [*FIRST, *LAST], SPEECH[1])


def test_noise_is_not_news() -> None:
    assert not is_news([Word(" Thanks", 4, 5, 0.1)], FIRST, SPEECH[1])
    assert not is_news([], FIRST, SPEECH[1])
