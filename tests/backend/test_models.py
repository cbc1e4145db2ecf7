"""What visitors can choose: the registry's word, corrected by the engine's own."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.backend.conftest import Start, error_of, question, row
from tests.backend.fake_engine import FakeEngine


def until_up(client: httpx.Client) -> None:
    deadline = time.monotonic() + 10
    while client.get("/healthz").json()["status"] != "ok":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_cards_have_openai_form_and_ours(client: httpx.Client) -> None:
    until_up(client)
    (card,) = client.get("/v1/models").json()["data"]
    assert (card["id"], card["object"]) == ("tiny", "model")
    ours = card["meralion"]
    assert (ours["title"], ours["kind"], ours["engine"], ours["state"]) == ("Tiny", "chat", "openai", "up")
    assert ours["capabilities"]["transcribe"] == {"supported": True}
    assert ours["capabilities"]["sound"] == {"supported": False, "reason": "It hears words only."}
    assert ours["capabilities"]["speaker"]["reason"].endswith(".")
    assert client.get("/v1/models/tiny").json() == card
    assert error_of(client.get("/v1/models/none"), 404)["code"] == "model_not_found"


def test_the_engine_knows_best_what_it_can_do(start: Start, engine: FakeEngine) -> None:
    reason = "No voice is installed."
    engine.capabilities = {"speech": {"supported": False, "reason": reason}, "made_up": {"supported": True}}
    client = start(row([engine.url]))
    until_up(client)
    capabilities = client.get("/v1/models/tiny").json()["meralion"]["capabilities"]
    assert capabilities["speech"] == {"supported": False, "reason": reason}
    assert capabilities["chat"] == {"supported": True}
    assert "made_up" not in capabilities


def test_what_an_engine_says_in_another_form_is_as_if_it_were_not_said(
    start: Start, engine: FakeEngine
) -> None:
    engine.capabilities = {
        "chat": True,
        "transcribe": ["x"],
        "translate": {"supported": "no"},
        "speech": {"supported": False, "reason": {"deep": 7}},
        "sound": {"supported": True, "reason": None, "more": "x"},
    }
    client = start(row([engine.url]))
    until_up(client)
    (card,) = client.get("/v1/models").json()["data"]
    said = card["meralion"]["capabilities"]
    for name in ("chat", "transcribe", "translate", "speech", "sound"):
        assert said[name] == {"supported": True}
    assert client.post("/v1/chat/completions", json=question()).status_code == 200


def test_no_pages_of_another_origin_are_let_in(client: httpx.Client) -> None:
    response = client.post(
        "/v1/chat/completions", json=question(), headers={"origin": "https://elsewhere.example"}
    )
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/models"])
def test_a_head_is_answered_as_a_get_without_a_body(path: str, client: httpx.Client) -> None:
    until_up(client)
    got, head = client.get(path), client.head(path)
    assert (got.status_code, head.status_code, head.content) == (200, 200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]
    assert client.get(path).json() == got.json()  # the connection is as it was


def test_it_is_ready_while_a_chat_model_is_up(start: Start, engine: FakeEngine) -> None:
    nowhere = "http://127.0.0.1:1"
    two = row([engine.url]) + row([nowhere], name="other")
    voice = row([engine.url], name="voice", kind="speech")
    for registry, status in ((two, 200), (voice, 200), (row([nowhere]) + voice, 503), (row([nowhere]), 503)):
        client = start(registry)
        deadline = time.monotonic() + 10
        while "starting" in client.get("/healthz").json()["models"].values():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        ready = client.get("/readyz")
        assert ready.status_code == status
        assert ready.json() == client.get("/healthz").json()
