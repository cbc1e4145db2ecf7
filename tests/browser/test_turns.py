"""The Playground beyond one question: samples heard first, talks, transcripts, tabs, dropped connections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.backend.fake_engine import FakeEngine, says, sends
from tests.browser.conftest import PHONE, Launch
from tests.browser.demo import Demo
from tests.browser.visitor import Visitor
from tests.ui.conftest import tone
from tests.ui.transcripts import BEGIN, END, WINDOW, stalls

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SLOW = says(*[f"word{number} " for number in range(40)], gap_s=0.1)
SAMPLE_PLAYS = (
    "() => { const sound = document.querySelector('body > audio'); return sound.currentTime > 0.2 }"
)
CLIP_PLAYS = "at => document.querySelector('.st-key-clip audio').currentTime >= at"


@pytest.fixture
def visitor(launch: Launch, scripted: Demo) -> Visitor:
    """Somebody who has uploaded a clip."""
    visitor = launch(scripted).open()
    visitor.upload("kopi.wav", tone(3))
    visitor.clip_is("kopi.wav")
    return visitor


def questions(visitor: Visitor) -> list[str]:
    asked = '[class*="st-key-turn_asked_"] [data-testid="stText"], .st-key-asked [data-testid="stText"]'
    return visitor.page.locator(asked).all_inner_texts()


def test_a_sample_is_heard_before_it_is_chosen(launch: Launch, scripted: Demo):
    visitor = launch(scripted, size=PHONE).open()
    sounds = visitor.page.locator(".st-key-sounds_standard .sounds button")
    card = visitor.page.locator(".st-key-sample_st-voicemail button")
    second = sounds.nth(1)
    assert second.get_attribute("aria-label") == f"Play: {card.inner_text().splitlines()[0]}"
    row, box = card.bounding_box(), second.bounding_box()
    assert row and box
    assert min(box["width"], box["height"]) >= 44
    assert abs(row["y"] - box["y"]) < 4
    second.click()
    visitor.page.wait_for_function(SAMPLE_PLAYS)
    heard = visitor.page.locator("body > audio").get_attribute("src")
    sounds.first.click()
    visitor.page.wait_for_function(SAMPLE_PLAYS)
    assert visitor.page.locator("body > audio").get_attribute("src") != heard
    assert (second.get_attribute("aria-label") or "").startswith("Play")
    sounds.first.click()
    assert visitor.page.locator("body > audio").evaluate("sound => sound.paused")
    assert not visitor.page.locator(".m-clip").count()


def test_the_talk_is_kept_over_a_change_of_page(visitor: Visitor, engine: FakeEngine):
    engine.default = says(*["A long answer that fills the page. "] * 4, *map(str, range(300)))
    for number in range(4):
        visitor.ask(f"What is question {number}?")
        visitor.answer()
    assert questions(visitor)[-1] == "What is question 3?"
    assert visitor.top_of("asked") < 800  # it is in view, below all that was said before
    box = visitor.page.locator(".st-key-prompt textarea")
    box.fill("What is being typed?")
    box.press("Control+Enter")
    visitor.settle()
    visitor.page.get_by_role("link", name="Models").first.click()
    visitor.page.wait_for_url("**/models")
    visitor.settle()
    visitor.page.get_by_role("link", name="Playground").first.click()
    visitor.page.wait_for_selector(".st-key-ask")
    visitor.settle()
    assert questions(visitor)[-1] == "What is question 3?"
    assert box.input_value() == "What is being typed?"
    visitor.press("edit_2")
    visitor.settle()
    assert box.input_value() == "What is question 2?"


def test_a_transcript_plays_from_a_click_and_is_taken_away(
    visitor: Visitor, engine: FakeEngine, tmp_path: Path
):
    engine.script = [sends(*BEGIN, *WINDOW, *END)]
    visitor.press("timed")
    visitor.page.locator(".m-at", has_text="Two kopi.").click()
    visitor.page.wait_for_function(CLIP_PLAYS, arg=0.6)
    visitor.page.wait_for_selector(".m-now:has-text('Two kopi.')")
    with visitor.page.expect_download() as download:
        visitor.press("download_srt")
    download.value.save_as(tmp_path / "kopi.srt")
    assert download.value.suggested_filename == "kopi.srt"
    assert "00:00:00,500 --> 00:00:02,250\nTwo kopi." in (tmp_path / "kopi.srt").read_text()


def test_a_long_recording_is_written_down_with_progress_and_stopped(
    launch: Launch, scripted: Demo, engine: FakeEngine
):
    visitor = launch(scripted).open()
    engine.default = stalls(*BEGIN, *WINDOW)
    visitor.upload("meeting.wav", tone(301))
    visitor.press("write_down")
    assert visitor.says("28 s of 1 min read")
    visitor.press("stop_transcript")
    assert visitor.says("Stopped. What was written down until then is kept.")
    assert visitor.page.locator(".m-at", has_text="Two kopi.").count() == 1
    assert visitor.page.locator(".st-key-download_vtt").count() == 1


def test_two_clips_are_compared(visitor: Visitor):
    visitor.press("second_clip")
    visitor.settle()
    visitor.page.get_by_role("tab", name="Singlish", exact=True).click()
    visitor.press("sample_sl-kopi")
    visitor.page.locator(".st-key-clip .m-clip", has_text="2. How to order coffee").wait_for()
    visitor.settle()
    assert visitor.page.locator(".st-key-clip_first .m-clip").inner_text().startswith("1. kopi.wav")
    visitor.press("ready_0")
    visitor.settle()
    visitor.press("ask")
    assert visitor.answer() == "Two kopi."


def test_a_dropped_connection_comes_back_and_the_answer_with_it(
    launch: Launch, scripted: Demo, engine: FakeEngine
):
    visitor = launch(scripted)
    connections: list[Any] = []

    def connect(socket: Any) -> None:
        connections.append(socket)
        socket.connect_to_server()

    visitor.page.route_web_socket("**/_stcore/stream", connect)
    visitor.open()
    visitor.upload("kopi.wav", tone(3))
    visitor.clip_is("kopi.wav")
    engine.default = SLOW
    visitor.ask("What goes on without a connection?")
    visitor.wait_for_words()
    connections[-1].close(code=1012, reason="dropped")
    assert len(visitor.answer().split()) == 40
    assert len(connections) > 1
    assert questions(visitor) == ["What goes on without a connection?"]


def test_two_tabs_are_two_visits(visitor: Visitor, engine: FakeEngine):
    other = Visitor(visitor.page.context.new_page(), visitor.demo).open()
    assert not other.page.locator(".m-clip").count()
    engine.default = SLOW
    visitor.ask("What is asked in one tab?")
    visitor.wait_for_words()
    engine.default = says("Two ", "kopi.")
    other.choose_sample("st-recipe", "Standard")
    other.press("ask")
    assert other.answer() == "Two kopi."
    assert len(visitor.answer().split()) == 40
    other.press("start_over")
    other.settle()
    assert questions(visitor) == ["What is asked in one tab?"]
