"""A question that breaks engines is not everybody's trouble."""

from __future__ import annotations

import httpx
import pytest

from tests.backend.conftest import OTHER, VISITOR, Start, error_of, question, row
from tests.backend.fake_engine import Behaviour, Exchange, FakeEngine, breaks_after, refuses, says
from tests.backend.test_models import until_up

PATH = "/v1/chat/completions"


def harmed_by(poison: str, harm: Behaviour) -> Behaviour:
    """Answers everything but the poison."""

    async def behave(exchange: Exchange) -> None:
        is_poison = exchange.json["messages"][-1]["content"] == poison
        await (harm if is_poison else says("Well"))(exchange)

    return behave


@pytest.mark.parametrize("count", [1, 2])
def test_the_next_visitor_is_answered(
    start: Start, engine: FakeEngine, second_engine: FakeEngine, count: int
) -> None:
    engines = [engine, second_engine][:count]
    for one in engines:
        one.default = harmed_by("poison", breaks_after())
    client = start(row([one.url for one in engines]), queue_timeout_s=3.0)
    until_up(client)
    for _ in range(3):
        asked = sum(len(one.exchanges) for one in engines)
        poisoned = client.post(PATH, json=question("poison"), headers=VISITOR)
        assert error_of(poisoned, 502)["code"] == "upstream_broke"
        # Once more where a kept connection was closed: it may have been closed before.
        assert 2 <= sum(len(one.exchanges) for one in engines) - asked <= 3
        well = client.post(PATH, json=question("well?"), headers=OTHER)
        assert well.status_code == 200, well.text


def test_nor_is_it_asked_on_and_on_where_it_breaks_in_the_middle(start: Start, engine: FakeEngine) -> None:
    engine.default = harmed_by("poison", breaks_after("Two ", "kopi"))
    client = start(row([engine.url]), queue_timeout_s=3.0)
    until_up(client)
    for _ in range(2):
        asked = len(engine.exchanges)
        poisoned = client.post(PATH, json=question("poison", stream=True, temperature=0), headers=VISITOR)
        assert "answer_interrupted" in poisoned.text
        assert 3 <= len(engine.exchanges) - asked <= 4
        well = client.post(PATH, json=question("well?"), headers=OTHER)
        assert well.status_code == 200, well.text


def test_nor_do_its_500s_rest_an_engine(start: Start, engine: FakeEngine) -> None:
    engine.default = harmed_by("poison", refuses(500))
    client = start(row([engine.url]), queue_timeout_s=3.0)
    until_up(client)
    for _ in range(2):
        assert client.post(PATH, json=question("poison")).status_code == 502
    assert client.get("/v1/status").json()["instances"][0]["breaker"] == "closed"
    assert client.post(PATH, json=question("well?"), headers=OTHER).status_code == 200


def test_a_key_that_everybody_writes_is_nobody_s(client: httpx.Client) -> None:
    """`api_key="none"` stands in many a program: those who write it are not one owner."""
    key = {"authorization": "Bearer none"}
    with httpx.Client(base_url=client.base_url, trust_env=False, headers=key) as one:
        file = one.post("/v1/files", files={"file": ("diary.wav", b"")})
        assert file.status_code == 400  # an empty one, but the caller is known enough to be told
        assert one.get("/v1/files").json()["data"] == []
