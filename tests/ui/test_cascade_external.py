"""A text model at any address, good or bad, through the real openai client and over real HTTP."""

from __future__ import annotations

import json
import logging
import threading

import pytest

from tests.backend.fake_engine import (
    FakeEngine,
    refuses,
    stalls_after,
)
from tests.ui.endpoints import ASKED, KEY, ask, fails, replies, target, text
from ui.cascade.external import ExternalStream, Target
from ui.wire import ClientError, Done, Token, Usage


def test_an_answer_streams_and_its_tokens_are_counted(endpoint: FakeEngine):
    events = ask(target(endpoint, temperature=0.5, max_tokens=33, limit_field="max_completion_tokens"))
    assert text(events) == "From far away."
    assert Usage(7, 2) in events
    assert isinstance(events[-1], Done)
    sent = endpoint.exchanges[0]
    assert (sent.path, sent.json["model"], sent.json["messages"]) == ("/v1/chat/completions", "large", ASKED)
    assert (sent.json["temperature"], sent.json["max_completion_tokens"]) == (0.5, 33)
    assert sent.headers["authorization"] == f"bearer {KEY}"


def test_nothing_of_the_host_s_environment_is_sent(endpoint: FakeEngine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-the-host")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-of-the-host")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-host")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-host: yes")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert text(ask(target(endpoint, key=None))) == "From far away."
    headers = endpoint.exchanges[0].headers
    assert headers["authorization"] == "bearer none"
    assert not [value for value in headers.values() if "of-the-host" in value]
    assert not [name for name in headers if name.startswith(("x-stainless", "openai", "x-host"))]


def test_without_a_model_the_first_one_listed_is_asked(endpoint: FakeEngine):
    endpoint.models = ("first", "second")
    ask(target(endpoint, model=""))
    assert endpoint.exchanges[0].json["model"] == "first"
    endpoint.models = ()
    assert fails(target(endpoint, model=""))[1].code == "text_no_model"


def test_an_answer_in_one_piece_is_taken_as_well(endpoint: FakeEngine):
    body = {
        "choices": [{"message": {"role": "assistant", "content": "At noon."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4},
    }
    endpoint.default = replies(200, json.dumps(body))
    events = ask(target(endpoint))
    assert text(events) == "At noon."
    assert events[1:] == [Usage(3, 4), Done(finish_reason="stop")]


def test_close_hangs_up_at_once(endpoint: FakeEngine):
    endpoint.default = stalls_after("At ")
    stream = ExternalStream(target(endpoint), ASKED)
    events = iter(stream)
    assert next(events) == Token("At ")
    threading.Timer(0.1, stream.close).start()
    with pytest.raises(ClientError):
        next(events)
    assert endpoint.exchanges[0].left.wait(5)


def test_a_visitor_s_address_does_not_reach_link_local_services(endpoint: FakeEngine):
    """Judged by the peer of the connection: here the test's own, which stands for one that a name led to."""
    from ui.cascade.guard import Guard, Refused

    class Peer:
        def get_extra_info(self, name: str) -> object:
            return ("169.254.169.254", 80) if name == "server_addr" else None

    event = "connection.connect_tcp.complete"
    with pytest.raises(Refused):
        Guard(any_peer=False)._trace(event, {"return_value": Peer()})
    Guard(any_peer=True)._trace(event, {"return_value": Peer()})
    assert text(ask(target(endpoint, any_peer=False))) == "From far away."


def test_no_key_and_no_words_in_the_log(endpoint: FakeEngine, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx2", "httpcore2"):
        caplog.set_level(logging.DEBUG, logger=name)
    ask(target(endpoint))
    endpoint.default = refuses(401, f"Incorrect API key provided: {KEY}")
    fails(target(endpoint))
    assert KEY not in caplog.text
    assert "Where do they meet" not in caplog.text
    assert [record.fields["code"] for record in caplog.records if hasattr(record, "fields")] == [
        "text_key_refused"
    ]


def test_an_answer_by_the_controller_is_one_like_any_other(client):
    address, headers = client.for_openai()
    events = ask(Target(address=address, model="tiny", headers=headers, temperature=0.0))
    assert text(events) == "Two kopi, please."
    assert headers["x-meralion-visitor"] not in repr(Target(address=address, headers=headers))
