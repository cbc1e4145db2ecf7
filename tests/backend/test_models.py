"""What visitors can choose: the registry's word, corrected by the engine's own."""

from __future__ import annotations

import time

import httpx

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


def test_no_pages_of_another_origin_are_let_in(client: httpx.Client) -> None:
    response = client.post(
        "/v1/chat/completions", json=question(), headers={"origin": "https://elsewhere.example"}
    )
    assert "access-control-allow-origin" not in response.headers
