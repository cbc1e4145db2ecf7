"""A talk with the demo in a real browser: by the microphone's button, and without hands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.backend.fake_engine import FakeEngine, says
from tests.browser.clips import ROOM_NOISE, Spoken, wav
from tests.browser.conftest import Launch
from tests.browser.demo import Demo
from tests.browser.microphone import STAND_IN, Talk
from tests.browser.visitor import ANSWER_LIMIT_MS, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# As in a network that lets no call through but by a relay, of which there is none.
ONLY_BY_RELAY = """
const Free = window.RTCPeerConnection
window.RTCPeerConnection = class extends Free {
  constructor(settings) { super({ ...settings, iceTransportPolicy: "relay" }) }
}
"""


def at_voice_chat(visitor: Visitor) -> Visitor:
    visitor.open()
    visitor.page.get_by_role("link", name="Voice chat").first.click()
    visitor.page.locator(".st-key-voice_controls").wait_for()
    visitor.settle()
    return visitor


def press_the_microphone(visitor: Visitor) -> None:
    visitor.settle()
    button = visitor.page.frame_locator(".st-key-record iframe").locator("button").first
    # On a busy machine Chromium has drawn no frame of a new iframe for 30 s, in which it has no height yet,
    # and the usual click waits for two frames more. The page stands still by now.
    button.wait_for(timeout=ANSWER_LIMIT_MS)
    button.click(force=True, timeout=ANSWER_LIMIT_MS)


@pytest.mark.engine
def test_push_to_talk_is_answered_in_words_and_aloud(
    launch: Launch, demo: Demo, spoken: Spoken, tmp_path: Path
):
    visitor = at_voice_chat(launch(demo, microphone=spoken.at_the_microphone(tmp_path / "voice.wav")))
    talk = Talk(visitor.page)
    press_the_microphone(visitor)
    sound = talk.wait_for_sound()
    assert sound["seconds"] > 0.3
    assert sound["peak"] > 0.05  # a voice and not silence
    talk.wait_for("ready")
    assert "Dashwood" in visitor.text("voice_said_0")
    assert visitor.text("voice_answer_0")
    assert "after your last word" in talk.timings()[0]

    before = max(entry["number"] for entry in talk.log())
    visitor.press("replay_0")
    talk.wait_for_sound(after=before)
    talk.wait_for("ready")

    visitor.page.get_by_role("link", name="Playground").first.click()
    visitor.page.locator(".st-key-step_1").wait_for()
    visitor.page.get_by_role("link", name="Voice chat").first.click()
    visitor.page.locator(".st-key-voice_said_0").wait_for()
    assert "Dashwood" in visitor.text("voice_said_0")
    visitor.press("start_over")
    visitor.page.locator(".st-key-voice_said_0").wait_for(state="detached")


@pytest.mark.engine
def test_a_model_that_does_not_talk_says_so_and_is_no_silence(
    launch: Launch, demo: Demo, spoken: Spoken, tmp_path: Path
):
    visitor = launch(demo, microphone=spoken.at_the_microphone(tmp_path / "voice.wav"))
    visitor.open(f"{demo.url}/models")
    visitor.press("choose_meralion-mini")
    visitor.page.locator(".st-key-choose_meralion-mini", has_text="Answers on all pages").wait_for()
    visitor.page.get_by_role("link", name="Voice chat").first.click()
    visitor.page.locator(".st-key-voice_controls").wait_for()
    press_the_microphone(visitor)
    Talk(visitor.page).wait_for_sound()
    assert visitor.text("voice_answer_0").startswith("I cannot do that yet.")


def test_silence_is_no_turn(launch: Launch, scripted: Demo, engine: FakeEngine, tmp_path: Path):
    quiet = np.random.default_rng(0).standard_normal(16_000 * 20) * ROOM_NOISE * 32767
    quiet[16_000:17_600] += 9_000 * np.sin(np.arange(1_600))  # a knock sets the recorder off
    file = tmp_path / "quiet.wav"
    file.write_bytes(wav(quiet.astype(np.int16)))
    visitor = at_voice_chat(launch(scripted, microphone=file))
    press_the_microphone(visitor)
    assert visitor.says("I did not hear any words.")
    assert not engine.exchanges


def test_an_answer_without_a_voice_is_read_by_the_browser_or_said_to_be_text(
    launch: Launch, scripted: Demo, engine: FakeEngine, spoken: Spoken, tmp_path: Path
):
    engine.default = says("<b>Two</b> kopi, ", "please.", heard=("dua ", "kopi"))
    visitor = at_voice_chat(launch(scripted, microphone=spoken.at_the_microphone(tmp_path / "voice.wav")))
    press_the_microphone(visitor)
    visitor.page.locator(".st-key-voice_answer_0").wait_for()
    local = visitor.page.evaluate("speechSynthesis.getVoices().some(voice => voice.localService)")
    assert local or visitor.says("This device has no voice")
    Talk(visitor.page).wait_for("ready")
    assert visitor.text("voice_answer_0") == "<b>Two</b> kopi, please."


@pytest.mark.engine
def test_a_hands_free_talk_of_two_turns_with_an_interruption(launch: Launch, demo: Demo, spoken: Spoken):
    visitor = launch(demo, microphone=Path("/dev/null"))
    visitor.page.context.add_init_script(STAND_IN)
    at_voice_chat(visitor)
    talk = Talk(visitor.page)
    talk.begin()

    talk.say(spoken.wav)
    talk.wait_for("hearing")
    talk.wait_for("thinking")
    first = talk.wait_for_sound()
    talk.say(spoken.wav)  # while it speaks
    talk.wait_for("hearing")
    visitor.page.wait_for_function("window.meralionVoice.log.some(entry => entry.stopped)")
    assert any("stopped" in entry and entry["number"] == first["number"] for entry in talk.log())

    second = talk.wait_for_sound(after=first["number"])
    assert second["number"] > first["number"]
    talk.wait_for("listening")
    assert [visitor.text(f"voice_said_{turn}") for turn in (0, 1)].count("") == 0
    assert visitor.text("voice_answer_1")
    assert len(talk.timings()) == 2

    visitor.page.locator(".st-key-mute label").first.click()
    talk.wait_for("muted")
    talk.say(spoken.wav)
    visitor.page.wait_for_timeout(2_000)  # that nothing comes of it cannot be waited for
    talk.wait_for("muted", limit_ms=1_000)
    assert not visitor.page.locator(".st-key-voice_said_2").count()


def test_a_network_that_blocks_live_calls_is_told_and_the_button_still_works(
    launch: Launch, scripted: Demo, spoken: Spoken, tmp_path: Path
):
    microphone = spoken.at_the_microphone(tmp_path / "voice.wav")
    visitor = launch(scripted, microphone=microphone)
    visitor.page.context.add_init_script(ONLY_BY_RELAY)
    at_voice_chat(visitor)
    visitor.page.locator(".st-key-hands_free label").first.click()
    assert visitor.says("this network blocks live calls")
    visitor.press("voice_use_button")
    visitor.page.locator(".st-key-record iframe").wait_for(timeout=ANSWER_LIMIT_MS)
    press_the_microphone(visitor)
    visitor.page.locator(".st-key-voice_answer_0").wait_for()
