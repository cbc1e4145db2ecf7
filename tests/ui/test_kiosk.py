"""A screen that strangers share: what it leaves out, and that nothing of one visitor stays on the server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from tests.ui.conftest import tone
from ui.cascade.chosen import OWN, names
from ui.cascade.endpoints import endpoints
from ui.playground_state import Playground
from ui.settings import settings

Open = Callable[[], AppTest]


def keys(test: AppTest) -> set[str]:
    return {str(found.key) for found in (*test.slider, *test.button, *test.text_input, *test.selectbox)}


def test_how_answers_are_drawn_is_left_out(page: Open, environment: pytest.MonkeyPatch):
    assert "sampling_temperature" in keys(page())
    environment.setenv("MERALION_KIOSK", "1")
    assert "sampling_temperature" not in keys(page())


def test_text_models_that_want_a_visitor_s_key_or_address_are_left_out(environment: pytest.MonkeyPatch):
    rows = endpoints().text
    keyed = {name: row.key_env for name, row in rows.items() if row.key_env}
    for variable in keyed.values():
        environment.delenv(variable, raising=False)
    environment.setenv("MERALION_UI_VISITOR_ENDPOINTS", "true")
    settings.cache_clear()
    assert {*names()} == {*rows, OWN}
    settings.cache_clear()
    environment.setenv("MERALION_KIOSK", "1")
    beside = {name for name, row in rows.items() if row.address and row.here}  # programs of this machine
    assert {*names()} == {*rows} - {*keyed} - beside
    first = next(iter(keyed))
    environment.setenv(keyed[first], "sk-of-the-host")
    assert first in names()


def test_start_over_ends_what_is_on_its_way(page: Open, environment: pytest.MonkeyPatch):
    environment.setenv("MERALION_KIOSK", "1")
    test = page()
    test.file_uploader[0].set_value(("private.wav", tone(), "audio/wav")).run()
    test.text_area(key="prompt").set_value("What is private?").run()
    test.button(key="ask").click().run()
    visit = test.session_state["visit"]
    before = visit.visitor
    assert not visit.busy
    assert visit.part(Playground).conversation.turns
    test.button(key="start_over").click().run()
    after = test.session_state["visit"]
    assert after.visitor != before  # which the browser sees, and loads the page anew
    assert after.clip is None
    assert not after.part(Playground).conversation.turns
    assert not test.exception
