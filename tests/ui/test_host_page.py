"""The host's page before a real controller: the key goes nowhere, the card is told, the buttons ask first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from streamlit.testing.v1 import AppTest

from tests.backend.fake_engine import FakeEngine
from tests.ui.conftest import REGISTRY
from ui import event
from ui.cascade.secret import Secret
from ui.host.held import UNUSED_S, Held
from ui.host.state import HostState
from ui.language import NAMES, table
from ui.local_backend import LocalBackend
from ui.settings import ROOT, settings

KEY = "kopi-7Xq-susu-92mB-Zt"
PAGE = """
from ui.host.page import host_page
host_page()
"""
VISITOR = """
from ui.frame import frame
frame("playground")
"""
Open = Callable[..., AppTest]


@pytest.fixture(scope="module")
def hosted(_fake_engine: FakeEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBackend]:
    """A controller that has a host."""
    registry = tmp_path_factory.mktemp("registry") / "models.toml"
    registry.write_text(REGISTRY.format(url=_fake_engine.url))
    chosen = {"MERALION_MODELS": str(registry), "MERALION_HOST_KEY": KEY}
    os.environ.update(chosen)
    backend = LocalBackend(ROOT, start_timeout_s=30)
    backend.url()
    for name in chosen:
        del os.environ[name]
    yield backend
    backend.close()


@pytest.fixture
def open_page(hosted: LocalBackend, environment: pytest.MonkeyPatch) -> Open:
    environment.setenv("MERALION_BACKEND_URL", hosted.url())
    environment.setenv("MERALION_VISITOR_SECRET", hosted.secret)

    def begin(script: str = PAGE) -> AppTest:
        settings.cache_clear()
        test = AppTest.from_string(script, default_timeout=20).run()
        assert not test.exception, test.exception
        return test

    return begin


def enter(test: AppTest, key: str = KEY) -> AppTest:
    test.text_input[0].set_value(key).run()
    assert not test.exception, test.exception
    return test


def everything(test: AppTest) -> str:
    told = [*test.error, *test.warning, *test.success, *test.caption, *test.text, *test.info]
    return "\n".join([*(str(one.value) for one in told), *(one.proto.body for one in test.get("html"))])


def press(test: AppTest, key: str) -> AppTest:
    test.button(key=key).click().run()
    assert not test.exception, test.exception
    return test


def test_the_key_opens_the_page_and_is_kept_apart(open_page: Open, capfd: pytest.CaptureFixture[str]):
    test = enter(open_page())
    assert not test.text_input
    assert "All is well." in everything(test)
    state = test.session_state["visit"].part(HostState)
    assert KEY not in str(test.session_state.filtered_state) + everything(test) + repr(state)
    assert KEY not in str(vars(state))
    press(test, "host_lock")
    assert test.text_input[0].value == ""
    printed = capfd.readouterr()
    assert KEY not in printed.out + printed.err


@pytest.mark.parametrize(
    ("key", "told"),
    [("two words", "This is no key"), ("wrong-Wrong-12345-xyz", "This is not the host's key")],
)
def test_what_is_not_the_key_is_told_without_being_repeated(open_page: Open, key: str, told: str):
    test = enter(open_page(), key)
    assert told in everything(test)
    assert key not in everything(test) + str(test.session_state.filtered_state)
    assert test.text_input[0].value == ""


def test_a_demo_without_a_host_says_so(page: Callable[[], AppTest], environment: pytest.MonkeyPatch):
    page()  # in front of a controller without a host's key
    test = AppTest.from_string(PAGE, default_timeout=20).run()
    assert "This demo has no host page." in everything(enter(test))


def test_the_card_is_told_in_plain_words(open_page: Open, hosted: LocalBackend):
    httpx.post(f"{hosted.url()}/v1/chat/completions", json={"model": "tiny"}, trust_env=False)
    told = everything(enter(open_page()))
    for words in ("Engines", "Tiny", "Nobody waits.", "Answers at hand", "0 of 16 answers at once"):
        assert words in told
    assert "It runs on another machine" in told


def test_a_button_asks_before_it_pauses(open_page: Open, hosted: LocalBackend):
    def paused() -> bool:
        said = httpx.get(f"{hosted.url()}/v1/status", trust_env=False, headers=signed(hosted)).json()
        return bool(said["event"]["paused"])

    test = press(enter(open_page()), "host_pause")
    assert "Pause the demo?" in everything(test)
    press(test, "host_no")
    assert not paused()
    press(press(test, "host_pause"), "host_yes")
    assert paused()
    assert "The demo is paused" in everything(test)
    assert "The host has paused the demo" in everything(open_page(VISITOR))
    press(test, "host_resume")
    assert not paused()
    event._decisions.clear()  # as a second later
    assert "The host has paused the demo" not in everything(open_page(VISITOR))


@pytest.mark.parametrize("kiosk", ["0", "1"])
def test_start_over_reaches_the_visits_that_are_open(
    open_page: Open, environment: pytest.MonkeyPatch, kiosk: str
):
    environment.setenv("MERALION_KIOSK", kiosk)
    visitor = open_page(VISITOR)
    before = visitor.session_state["visit"].visitor
    visitor.run()
    assert visitor.session_state["visit"].visitor == before
    host = press(press(enter(open_page()), "host_start_over"), "host_yes")
    assert "All have started over." in everything(host)
    event._decisions.clear()  # as a second later
    visitor.run()
    after = visitor.session_state["visit"]
    assert after.visitor != before
    visitor.run()
    assert visitor.session_state["visit"].visitor == after.visitor


def test_a_controller_that_is_away_is_told_and_waited_for(open_page: Open, hosted: LocalBackend):
    test = enter(open_page())
    hosted.close()
    test.run()
    assert "The controller does not answer." in everything(test)


@pytest.mark.parametrize("code", NAMES)
def test_every_condition_has_a_word(code: str):
    conditions = ("ready", "full", "resting", "starting", "down", "leaving")
    assert {f"host.condition_{name}" for name in conditions} <= table(code).keys()


def test_a_key_that_is_not_used_is_forgotten():
    now = 0.0
    held = Held(lambda: now)
    ticket = held.put(Secret("a-key"))
    now = UNUSED_S
    assert held.get(ticket)
    now += UNUSED_S + 1
    assert held.get(ticket) is None
    assert held.get("") is None


def test_the_code_for_phones_is_what_the_host_s_file_says_now(
    environment: pytest.MonkeyPatch, tmp_path: Path
):
    from ui.qr import phone_address

    file = tmp_path / "address"
    environment.setenv("MERALION_UI_ADDRESS_FILE", str(file))
    environment.setenv("MERALION_UI_PUBLIC_URL", "https://fixed.example")
    assert phone_address("https://seen.example/") == "https://fixed.example"
    file.write_text("http://10.0.0.5/trust")
    assert phone_address("https://seen.example/") == "http://10.0.0.5/trust"
    file.write_text("http://10.0.0.6/trust")
    assert phone_address(None) == "http://10.0.0.6/trust"
    file.write_text("javascript:alert(1)")
    assert phone_address(None) == "https://fixed.example"


def signed(hosted: LocalBackend) -> dict[str, str]:
    from ui.visitor import Visitor, new_name

    return {"x-meralion-visitor": Visitor(new_name(), hosted.secret).token()}
