"""Keys and addresses on the Cascade page: a host's, a visitor's, and where they do not go."""

from __future__ import annotations

import pytest

from tests.backend.fake_engine import FakeEngine, refuses, says
from tests.ui.cascading import (
    KEY,
    Open,
    ask,
    choose,
    everything,
    key_field,
    texts,
    type_words,
)
from ui.cascade.chosen import OWN
from ui.cascade.state import CascadeState


def test_a_key_is_wanted_and_taken_and_shown_nowhere(cascade: Open, endpoint: FakeEngine):
    test = ask(choose(cascade(), "far"), "Who has a key?")
    assert "wants a key" in test.error[0].value
    assert not endpoint.exchanges
    choose(test, "far", KEY)
    field = key_field(test)
    assert (field.value, field.proto.type) == ("", field.proto.PASSWORD)
    assert KEY not in str(test.session_state.filtered_state) + everything(test)
    test.button(key="forget_key").click().run()
    assert "wants a key" in ask(test, "Who has a key now?").error[0].value


def test_start_over_forgets_the_key_and_the_words(cascade: Open, endpoint: FakeEngine):
    test = type_words(choose(cascade(), "far", KEY), "private words")
    ask(test, "What is private?")
    state = test.session_state["visit"].part(CascadeState)
    test.button(key="start_over").click().run()
    assert not test.exception
    assert not state.keys
    assert "private" not in everything(test)
    assert test.selectbox(key="external_model").value == "local"


def test_a_key_of_one_endpoint_is_not_sent_to_another(cascade: Open, endpoint: FakeEngine):
    test = ask(choose(choose(cascade(), "far", KEY), "open"), "Who gets the key?")
    assert not test.error
    assert endpoint.exchanges[0].headers["authorization"] == "bearer none"


@pytest.mark.parametrize("key", ["two words", "schlüssel", "x" * 600])
def test_what_is_no_key_is_told_without_being_repeated(cascade: Open, key: str):
    test = choose(cascade(), "far", key)
    assert "This is no key" in test.error[0].value
    assert key not in everything(test)


def test_the_host_s_key_is_used_where_there_is_one(
    cascade: Open, endpoint: FakeEngine, environment: pytest.MonkeyPatch
):
    environment.setenv("FAR_AWAY_KEY", "sk-host-0123456789")
    test = ask(choose(cascade(), "far"), "Whose key is it?")
    assert endpoint.exchanges[0].headers["authorization"] == "bearer sk-host-0123456789"
    assert "sk-host" not in everything(test)
    assert not [field for field in test.text_input if field.key == "external_model_name"]


def test_a_refused_key_is_told_and_the_other_answer_is_there(cascade: Open, endpoint: FakeEngine):
    endpoint.default = refuses(401, f"Incorrect API key provided: {KEY}", "invalid_api_key")
    test = ask(choose(cascade(), "far", KEY), "What is refused?")
    assert "The key was not accepted" in test.error[0].value
    assert texts(test)[-1] == "from the sound"
    assert KEY not in everything(test)
    endpoint.default = says("Now ", "it works.")
    ask(test, "What is refused now?")
    assert not test.error
    assert "Now it works." in texts(test)


def test_visitors_name_no_address_unless_the_host_lets_them(
    cascade: Open, environment: pytest.MonkeyPatch, endpoint: FakeEngine
):
    assert "Another address" not in cascade().selectbox(key="external_model").options
    environment.setenv("MERALION_UI_VISITOR_ENDPOINTS", "true")
    test = choose(cascade(), OWN)
    assert "This address cannot be used" in ask(test, "Where to?").error[0].value
    test.text_input(key="external_address").set_value("file:///etc/passwd").run()
    assert "This address cannot be used" in test.error[0].value
    test.text_input(key="external_address").set_value(f"{endpoint.url}/v1").run()
    assert not ask(test, "Where to now?").error
    assert endpoint.exchanges[0].json["model"] == "large"
    assert "stream_options" not in endpoint.exchanges[0].json
    choose(test, OWN, KEY)
    test.text_input(key="external_address").set_value("http://example.org/v1").run()
    choose(test, OWN, KEY)
    assert "not sent over plain http" in ask(test, "Where in the clear?").error[0].value
