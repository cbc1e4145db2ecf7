"""What an engine says of its own trouble stays with us; what it says may be any bytes."""

from __future__ import annotations

import httpx
import pytest

from tests.backend.conftest import error_of, question
from tests.backend.fake_engine import Exchange, FakeEngine, refuses

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize("message", [b'"\\ud800"', b'"\xff"', b'{"deep": 7}', b"[" * 100_000])
def test_a_refusal_that_nobody_can_read_is_one(
    client: httpx.Client, engine: FakeEngine, message: bytes
) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.head(400, "application/json")
        await exchange.send(b'{"error": {"message": ' + message + b', "code": "bad"}}')
        await exchange.end()

    engine.default = refuse
    assert error_of(client.post(CHAT, json=question()), 400)["code"] in ("bad", "upstream_rejected")


@pytest.mark.parametrize("code", ["400", "x" * 65, "what was said", "", "bad\n"])
def test_a_code_that_is_none_is_not_passed_on(client: httpx.Client, engine: FakeEngine, code: str) -> None:
    engine.default = refuses(400, "Too long.", code)
    error = error_of(client.post(CHAT, json=question()), 400)
    assert (error["code"], error["message"]) == ("upstream_rejected", "Too long.")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("CUDA error at /srv/engine.py", "The model cannot answer now. Ask again in a moment."),
        ("Loading model /srv/weights", "The model is loading. Ask again in a moment."),
    ],
)
def test_an_engines_trouble_is_told_in_our_words(
    client: httpx.Client, engine: FakeEngine, said: str, told: str
) -> None:
    engine.default = refuses(503, said, "unavailable")
    error = error_of(client.post(CHAT, json=question()), 503)
    assert (error["code"], error["message"]) == ("unavailable", told)
