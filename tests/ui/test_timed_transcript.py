"""A transcript with times on the page: of the clip in hand, or of a recording too long to be asked about."""

from __future__ import annotations

from tests.backend.fake_engine import FakeEngine, refuses, sends
from tests.ui.conftest import tone
from tests.ui.test_playground import Open, ask, errors, markup, upload
from tests.ui.test_turns import press
from tests.ui.transcripts import BEGIN, DONE, END, WINDOW, progress_at, told
from ui.language import words


def files(page) -> list[str]:
    return [element.proto.label for element in page.get("download_button")]


def test_a_clip_is_written_down_with_times_and_can_be_taken_away(page: Open, engine: FakeEngine):
    test = upload(page(), tone(3), "kopi.wav")
    engine.script = [sends(*BEGIN, *WINDOW, *END)]
    press(test, "timed")
    assert 'data-play-at="0.500"' in markup(test)
    assert "One teh." in markup(test)
    assert files(test) == ["SRT", "VTT", "Text", "JSON"]
    press(test, "close_transcript")
    assert "One teh." not in markup(test)
    assert test.button(key="timed")


def test_words_of_a_transcript_are_never_markup(page: Open, engine: FakeEngine):
    test = upload(page(), tone(3.1))
    nasty = "<img src=x onerror=alert(1)>"
    segment = told("transcript.text.segment", id=0, start=0.0, end=2.0, text=nasty)
    engine.script = [sends(segment, progress_at(60), told("transcript.text.done", text=nasty), DONE)]
    press(test, "timed")
    assert "&lt;img" in markup(test)
    assert "<img src=x" not in markup(test)


def test_a_clip_without_speech_says_so(page: Open, engine: FakeEngine):
    test = upload(page(), tone(3.2))
    engine.script = [sends(progress_at(60), told("transcript.text.done", text=""), DONE)]
    press(test, "timed")
    assert [info.value for info in test.info] == [words("en", "transcript.no_speech")]
    assert not files(test)


def test_a_transcript_that_fails_is_told_and_tried_again(page: Open, engine: FakeEngine):
    test = upload(page(), tone(3.3))
    engine.script = [refuses(400, "No.")]
    press(test, "timed")
    assert errors(test)
    engine.script = [sends(*BEGIN, *WINDOW, *END)]
    press(test, "timed")
    assert not test.error
    assert "One teh." in markup(test)


def test_a_recording_too_long_to_be_asked_about_is_written_down(page: Open, engine: FakeEngine):
    test = upload(page(), tone(301), "meeting.wav")
    assert errors(test)
    engine.script = [sends(*BEGIN, *WINDOW, *END)]
    press(test, "write_down")
    assert not test.error
    assert "meeting.wav" in markup(test)
    assert "One teh." in markup(test)
    assert files(test) == ["SRT", "VTT", "Text", "JSON"]
    ask(upload(test, tone(2)), "What is asked of a short one?")
    assert "meeting.wav" not in markup(test)
    assert not test.error


def test_start_over_takes_the_transcript_along(page: Open, engine: FakeEngine):
    test = upload(page(), tone(3.4))
    engine.script = [sends(*BEGIN, *WINDOW, *END)]
    press(test, "timed")
    press(test, "start_over")
    assert "One teh." not in markup(test)
