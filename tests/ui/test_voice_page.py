"""The voice chat's page in front of a real controller and a scripted engine.

AppTest has no recorder, so what one hands over is handed over here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from tests.backend.fake_engine import FakeEngine, breaks_after, says
from tests.ui.conftest import tone
from ui.settings import SettingsError, settings
from ui.voice.hands_free import ice_servers
from ui.voice.hearing import read_wav, to_wav
from ui.voice.push_to_talk import hear
from ui.voice.state import VoiceChat

Open = Callable[[], AppTest]


@pytest.fixture
def voice_page(page: Open, engine: FakeEngine) -> Open:
    """A function that opens the voice chat in a new session."""
    engine.default = says("The sky is blue. ", "Is it not?", heard=("what is ", "the sky"))

    def open_page() -> AppTest:
        test = page()
        test.switch_page("pages/1_Voice_Chat.py").run()
        assert not test.exception
        return test

    return open_page


def spoken(seconds: float) -> bytes:
    """A sound with quiet before and after, as a voice has it and a machine has not."""
    sound, quiet = read_wav(tone(seconds)), np.zeros(16_000, np.int16)
    return to_wav(np.concatenate([quiet, sound, quiet]))


def talk_of(test: AppTest) -> VoiceChat:
    return test.session_state["visit"].part(VoiceChat)


def say(test: AppTest, wav: bytes | None = None) -> AppTest:
    """Say something and wait for all of the answer."""
    chat = talk_of(test)
    hear(chat, wav or spoken(1.5))
    seen = 0
    while chat.last is not None and not chat.last.over:
        seen = chat.news.wait(seen, 0.1)
    test.run()
    assert not test.exception
    return test


def texts(test: AppTest) -> list[str]:
    return [text.value for text in test.text]


def test_what_is_said_is_answered(voice_page: Open, engine: FakeEngine):
    test = say(voice_page())
    assert texts(test) == ["what is the sky", "The sky is blue. Is it not?"]
    assert len(engine.exchanges) == 1


def test_the_newest_turn_is_first(voice_page: Open, engine: FakeEngine):
    test = say(voice_page())
    engine.default = says("It is late.", heard=("what time",))
    say(test, spoken(1.2))
    assert texts(test)[:2] == ["what time", "It is late."]
    assert texts(test)[2:] == ["what is the sky", "The sky is blue. Is it not?"]


def test_silence_gives_a_sentence_and_no_turn(voice_page: Open, engine: FakeEngine):
    test = say(voice_page(), to_wav(np.zeros(16_000 * 2, np.int16)))
    assert "did not hear any words" in test.info[0].value
    assert not engine.exchanges
    say(test)
    assert not test.info
    assert texts(test)


def test_a_recording_that_is_none_gives_a_sentence(voice_page: Open):
    assert "did not hear any words" in say(voice_page(), b"RIFF and no more").info[0].value


def test_markup_stays_text(voice_page: Open, engine: FakeEngine):
    nasty = "<img src='https://example.com/x.png'> ![](https://example.com/y.png) **bold** " + "x" * 20_000
    engine.default = says(nasty, heard=("<script>alert(1)</script>",))
    test = say(voice_page())
    assert texts(test) == ["<script>alert(1)</script>", nasty]
    markup = [element.proto.body for element in test.get("html")] + [text.value for text in test.markdown]
    assert not any("example.com" in text or "alert" in text for text in markup)


def test_an_engine_that_breaks_keeps_what_was_said(voice_page: Open, engine: FakeEngine):
    engine.script = [breaks_after("The ")] * 4
    test = say(voice_page())
    assert test.error
    engine.script.clear()
    engine.default = says("Blue.", heard=("what is the sky",))
    test.button(key="again").click().run()
    chat = talk_of(test)
    while not chat.last.over:
        chat.news.wait(chat.seen, 0.1)
    test.run()
    assert texts(test) == ["what is the sky", "Blue."]
    assert not test.error


def test_a_talk_outlives_a_page_switch_and_not_start_over(voice_page: Open):
    test = say(voice_page())
    test.switch_page("pages/2_Cascade.py").run()
    test.switch_page("pages/1_Voice_Chat.py").run()
    assert texts(test) == ["what is the sky", "The sky is blue. Is it not?"]
    test.button(key="start_over").click().run()
    assert not texts(test)
    assert talk_of(test).turns == []


def test_two_visitors_hear_nothing_of_each_other(voice_page: Open):
    one, other = voice_page(), voice_page()
    say(one)
    other.run()
    assert texts(one)
    assert not texts(other)


def test_the_pause_is_the_visitors_choice(voice_page: Open):
    test = voice_page()
    assert test.slider(key="voice_end_wait").value == 0.8
    test.slider(key="voice_end_wait").set_value(1.5).run()
    assert talk_of(test).end_wait_s == 1.5


def test_no_server_outside_is_asked_unless_the_host_names_one(environment: pytest.MonkeyPatch):
    assert ice_servers() == []
    environment.setenv("MERALION_UI_ICE_SERVERS", '[{"urls": "stun:stun.example.com:3478"}]')
    settings.cache_clear()
    assert ice_servers() == [{"urls": "stun:stun.example.com:3478"}]


@pytest.mark.parametrize("value", ["stun:stun.example.com", '[{"url": "stun:stun.example.com"}]', "{}"])
def test_servers_that_are_none_are_refused(environment: pytest.MonkeyPatch, value: str):
    environment.setenv("MERALION_UI_ICE_SERVERS", value)
    with pytest.raises(SettingsError, match="MERALION_UI_ICE_SERVERS cannot be used"):
        settings()


def test_a_turn_servers_password_is_not_shown(environment: pytest.MonkeyPatch):
    environment.setenv(
        "MERALION_UI_ICE_SERVERS",
        '[{"urls": ["turn:t.example.com"], "username": "me", "credential": "hush"}]',
    )
    assert "hush" not in repr(settings())
    assert ice_servers()[0]["credential"] == "hush"
