"""A text model of somebody else's, asked through the real client; and what its failures must hold to."""

from __future__ import annotations

from typing import Any

import pytest

from tests.backend.fake_engine import Behaviour, Exchange, FakeEngine
from ui.cascade.external import ExternalStream, Target
from ui.cascade.secret import Secret
from ui.language import NAMES, table
from ui.wire import ClientError, Event, Token

KEY = "sk-secret-0123456789"
ASKED = [{"role": "user", "content": "Where do they meet?"}]


def target(endpoint: FakeEngine, **changes: Any) -> Target:
    values = {"address": f"{endpoint.url}/v1", "model": "large", "key": Secret(KEY)} | changes
    return Target(**{"first_word_s": 5.0, "silence_s": 5.0} | values)


def ask(at: Target) -> list[Event]:
    return list(ExternalStream(at, ASKED))


def fails(at: Target) -> tuple[str, ClientError]:
    """What had come, and the failure, which is told in every language and holds no key."""
    words = ""
    with pytest.raises(ClientError) as caught:
        for event in ExternalStream(at, ASKED):
            words += event.text if isinstance(event, Token) else ""
    error = caught.value
    assert error.message == table("en")[f"errors.{error.code}"]
    assert all(f"errors.{error.code}" in table(code) for code in NAMES)
    assert error.__context__ is None and error.__cause__ is None
    assert KEY not in f"{error!r} {vars(error)}"
    return words, error


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Token))


def replies(status: int, body: str, kind: str = "application/json", **headers: str) -> Behaviour:
    """A reply in one piece, with headers of its own."""
    more = "".join(f"\r\n{name.replace('_', '-')}: {value}" for name, value in headers.items())

    async def behave(exchange: Exchange) -> None:
        await exchange.head(status, kind + more)
        await exchange.send(body.encode())
        await exchange.end()

    return behave
