"""How many clicks a newcomer needs, from the open page to the first answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.clips import Spoken
from tests.browser.conftest import DESK, PHONE, Launch
from tests.browser.demo import Demo
from tests.browser.visitor import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.slow]


class Newcomer:
    """Somebody who counts their clicks."""

    def __init__(self, visitor: Visitor, menu: str) -> None:
        self.visitor = visitor
        self.page = visitor.page
        self.clicks = 0
        self._menu = menu

    def ask_about_the_first_sample(self) -> None:
        self._click(self.page.locator('[class*="st-key-sample_"] button:visible').first)
        self.visitor.clip_is("Sample")
        self._click(self.page.locator(".st-key-ask button"))

    def ask_about_their_own_voice(self) -> None:
        self.speak()
        self.visitor.clip_is("Your recording")
        self._click(self.page.locator(".st-key-ask button"))

    def go_to_the_voice_chat(self) -> None:
        self._click(self.page.locator(f"{self._menu} a:visible", has_text="Voice chat"))
        self.page.locator(".st-key-voice_controls").wait_for()
        self.visitor.settle()

    def speak(self) -> None:
        """Press the microphone, which stops by itself at a pause."""
        self._click(self.page.frame_locator(".st-key-record iframe").locator("button").first)

    def _click(self, what) -> None:
        self.clicks += 1
        what.click()


@pytest.fixture(params=[(DESK, "header"), (PHONE, ".st-key-phone_menu")], ids=["desk", "phone"])
def newcomer(
    request: pytest.FixtureRequest, launch: Launch, scripted: Demo, spoken: Spoken, tmp_path: Path
) -> Newcomer:
    size, menu = request.param
    microphone = spoken.at_the_microphone(tmp_path / "voice.wav")
    return Newcomer(launch(scripted, size=size, microphone=microphone).open(), menu)


def test_a_sample_is_answered_after_two_clicks(newcomer: Newcomer):
    newcomer.ask_about_the_first_sample()
    assert newcomer.visitor.answer() == "Two kopi."
    assert newcomer.clicks == 2


def test_an_own_voice_is_answered_after_two_clicks(newcomer: Newcomer):
    newcomer.ask_about_their_own_voice()
    assert newcomer.visitor.answer() == "Two kopi."
    assert newcomer.clicks == 2


def test_a_spoken_word_is_answered_after_two_clicks_and_stands_in_view(newcomer: Newcomer):
    newcomer.go_to_the_voice_chat()
    newcomer.speak()
    newcomer.page.get_by_text("Two kopi.").first.wait_for()
    newcomer.visitor.settle()
    assert newcomer.visitor.text("voice_answer_0") == "Two kopi."
    assert newcomer.clicks == 2
    assert newcomer.visitor.top_of("voice_answer_0") < 800


def test_a_link_leads_to_its_comparison(newcomer: Newcomer):
    newcomer.visitor.open(f"{newcomer.visitor.demo.url}/models?clip=st-weather&prompt=What+is+said?")
    newcomer.visitor.clip_is("Sample")
    clip = newcomer.page.locator(".st-key-compare .m-clip").bounding_box()
    assert clip and 0 < clip["y"] < 700


def test_starting_over_leads_back_to_the_top(newcomer: Newcomer):
    newcomer.ask_about_the_first_sample()
    newcomer.visitor.answer()
    newcomer.visitor.press("start_over")
    newcomer.page.locator(".m-no-clip").wait_for()
    newcomer.visitor.settle()
    assert newcomer.visitor.top_of("head") > 0
