"""How the page moves while an answer comes, in front of an engine that does as it is told."""

from __future__ import annotations

import pytest

from tests.backend.fake_engine import FakeEngine, says, stalls_after
from tests.browser.conftest import PHONE, Launch
from tests.browser.demo import Demo
from tests.browser.visitor import Visitor
from tests.ui.conftest import tone

pytestmark = pytest.mark.browser

SLOW = says(*[f"word{number} " for number in range(40)], heard=("dua ", "kopi"), gap_s=0.1)


@pytest.fixture
def visitor(launch: Launch, scripted: Demo) -> Visitor:
    """Somebody who has uploaded a clip."""
    visitor = launch(scripted).open()
    visitor.upload("private.wav", tone(2))
    visitor.clip_is("private.wav")
    return visitor


def test_words_stand_there_before_the_answer_is_whole(visitor: Visitor, engine: FakeEngine):
    engine.default = SLOW
    visitor.ask("What comes word by word?")
    visitor.wait_for_words()
    first = visitor.text("answer_coming")
    assert visitor.text("heard") == "dua kopi"
    whole = visitor.answer()
    assert whole.startswith(first)
    assert len(first.split()) < 20
    assert len(whole.split()) == 40


def test_stop_keeps_what_came_and_ask_again_asks_again(visitor: Visitor, engine: FakeEngine):
    engine.script = [stalls_after("Two ")]
    visitor.ask("What is stopped?")
    visitor.wait_for_words()
    visitor.press("stop")
    assert visitor.answer() == "Two"
    assert visitor.says("Stopped. This is what had come.")
    assert engine.exchanges[0].left.wait(5)
    visitor.press("again")
    visitor.page.get_by_text("Two kopi.").wait_for()


def test_clicks_elsewhere_do_not_end_an_answer(visitor: Visitor, engine: FakeEngine):
    engine.default = SLOW
    visitor.ask("What goes on?")
    visitor.wait_for_words()
    visitor.press("task_summarise")
    visitor.page.get_by_role("tab", name="Spectrogram").click()
    assert len(visitor.answer().split()) == 40
    assert len(engine.exchanges) == 1
    assert "summarise" in visitor.page.locator(".st-key-prompt textarea").input_value()


def test_a_double_click_asks_once(visitor: Visitor, engine: FakeEngine):
    visitor.page.locator(".st-key-ask button").dblclick()
    assert visitor.answer() == "Two kopi."
    assert len(engine.exchanges) == 1


def test_a_visitor_who_leaves_frees_the_engine(visitor: Visitor, engine: FakeEngine):
    engine.default = stalls_after("Two ")
    visitor.ask("Who leaves?")
    visitor.wait_for_words()
    visitor.page.close()
    assert engine.exchanges[-1].left.wait(10)


def test_start_over_is_a_clean_page(visitor: Visitor):
    visitor.ask("What is private?")
    visitor.answer()
    visitor.press("start_over")
    visitor.page.locator(".m-no-clip").wait_for()
    visitor.settle()
    page = visitor.page.locator("body").inner_text()
    assert "private" not in page
    assert not visitor.page.locator(".st-key-again").count()
    assert visitor.page.locator(".st-key-prompt textarea").input_value() == "Please transcribe this speech."


def test_an_answer_is_never_markup(visitor: Visitor, engine: FakeEngine):
    nasty = "<img src='https://example.com/x.png'> ![](https://example.com/y.png) **bold**"
    engine.default = says(nasty)
    visitor.ask("What is nasty?")
    assert visitor.answer() == nasty
    assert not visitor.page.locator(".st-key-answer img").count()


def test_the_clip_can_be_played(visitor: Visitor):
    audio = visitor.page.locator(".st-key-clip audio")
    audio.evaluate("element => element.play()")
    visitor.page.wait_for_function("document.querySelector('.st-key-clip audio').currentTime > 0.2")
    assert audio.evaluate("element => element.duration") == pytest.approx(2, abs=0.1)


def test_a_phone_has_room_for_fingers_and_needs_no_sideways_scrolling(launch: Launch, scripted: Demo):
    visitor = launch(scripted, size=PHONE).open()
    visitor.choose_sample("sl-kopi", "Singlish")
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    heights = visitor.page.evaluate(
        """[...document.querySelectorAll('.stButton button, [role=tab], .st-key-upload button')]
           .filter(element => element.offsetParent)
           .map(element => [element.innerText, element.offsetHeight])"""
    )
    assert len(heights) > 15
    assert [name for name, height in heights if height < 44] == []


def test_the_page_can_be_used_by_keyboard_alone(visitor: Visitor):
    visitor.page.locator(".st-key-prompt textarea").focus()
    focused = "document.activeElement.closest('.st-key-ask') !== null"
    for _ in range(4):
        visitor.page.keyboard.press("Tab")
        if visitor.page.evaluate(focused):
            break
    assert visitor.page.evaluate(focused)
    assert visitor.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    visitor.page.keyboard.press("Enter")
    assert visitor.answer() == "Two kopi."


def test_on_a_phone_the_next_step_comes_into_view(launch: Launch, scripted: Demo, engine: FakeEngine):
    visitor = launch(scripted, size=PHONE).open()
    visitor.upload("private.wav", tone(2))
    visitor.clip_is("private.wav")
    assert visitor.top_of("step_2") < 200
    visitor.ask("What comes into view?")
    assert visitor.answer() == "Two kopi."
    assert visitor.top_of("step_3") < 200
