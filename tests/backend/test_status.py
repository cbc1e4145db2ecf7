"""What the controller says of itself: how every part is, and nothing of what is asked or answered."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from backend.status import version
from tests.backend.conftest import Start, question, row, streamed
from tests.backend.fake_engine import FakeEngine, stalls_after
from tests.backend.redis_server import redis_server
from tests.backend.test_models import until_up
from tests.model import clips


def until(client: httpx.Client, met: Any) -> dict[str, Any]:
    """Return the status once it is as wanted."""
    deadline = time.monotonic() + 10
    while True:
        status: dict[str, Any] = client.get("/v1/status").json()
        if met(status):
            return status
        assert time.monotonic() < deadline, status
        time.sleep(0.01)


def test_every_part_is_told(start: Start, engine: FakeEngine, second_engine: FakeEngine) -> None:
    listed = f'[{{ url = "{engine.url}", weight = 2, places = 3 }}, "{second_engine.url}"]'
    client = start(row([]).replace("= []", f"= {listed}"), places=5, cache_store="none")
    until_up(client)
    client.post("/v1/files", files={"file": ("a.wav", clips.plain_wav())})
    for _ in range(2):
        streamed(client, question(temperature=0))
    status = until(client, lambda status: all(one["state"] == "up" for one in status["instances"]))
    assert status["version"] == version()
    assert 0 <= status["uptime_s"] < 60
    assert status["config"]["error"] is None
    assert 0 <= status["config"]["loaded_at"] - status["started_at"] < 60
    (model,) = status["models"]
    assert (model["id"], model["state"], model["waiting"]) == ("tiny", "up", 0)
    first, second = status["instances"]
    assert model["instances"] == [first["name"], second["name"]]
    assert [one["models"] for one in status["instances"]] == [["tiny"], ["tiny"]]
    assert (first["weight"], first["places"], second["weight"], second["places"]) == (2.0, 3, 1.0, 5)
    assert (first["draining"], first["breaker"], first["busy"], first["outstanding_ms"]) == (
        False,
        "closed",
        0,
        0,
    )
    assert first["asked"] + second["asked"] == 1
    assert status["queue"] == {"waiting": 0, "busy": 0, "places": 8}
    assert (status["cache"]["hits"], status["cache"]["misses"]) == (1, 1)
    assert 0 < status["cache"]["bytes"] < status["cache"]["max_bytes"]
    assert status["files"]["count"] == 1
    assert status["files"]["bytes"] > 0
    assert status["redis"] == "off"


def test_work_under_way_is_seen(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url], more="places = 1\n"), silence_timeout_s=20, hedge_silence_s=0)
    until_up(client)
    engine.default = stalls_after("a")
    with client.stream("POST", "/v1/chat/completions", json=question(stream=True)) as response:
        lines = response.iter_lines()
        next(lines)
        status = until(client, lambda status: status["queue"]["busy"] == 1)
        assert status["instances"][0]["busy"] == 1
        assert status["instances"][0]["outstanding_ms"] > 0
    until(client, lambda status: status["queue"]["busy"] == 0)


def test_nothing_that_was_said_and_no_secret_is_in_it(
    start: Start, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINE_KEY", "engine-very-secret")
    client = start(
        row([engine.url], more='api_key_env = "ENGINE_KEY"\n'),
        api_keys="c0ffee-Zq7-Lm2x-9vTR-kw48-pJs1-eY63",
        visitor_secret="hidden-Ab8-Qw3e-7tYU-io90-lKj5-mN26",
    )
    client.headers["authorization"] = "Bearer c0ffee-Zq7-Lm2x-9vTR-kw48-pJs1-eY63"
    del client.headers["x-meralion-visitor"]
    until_up(client)
    assert streamed(client, question("Tell me about the durian"))[-1] == "[DONE]"
    assert client.get("/v1/status", headers={"authorization": ""}).status_code == 401
    assert client.get("/metrics", headers={"authorization": ""}).status_code == 401
    told = json.dumps(client.get("/v1/status").json()) + client.get("/metrics").text
    assert "tiny" in told
    for word in ("durian", "Hello", "very-secret", "c0ffee", "hidden", "ENGINE_KEY"):
        assert word not in told


def test_the_store_is_told_that_is_used(start: Start, engine: FakeEngine) -> None:
    with redis_server() as server:
        for wanted, settings in {
            "sqlite": {},
            "none": {"cache_max_bytes": 0},
            "redis": {"redis_url": server.secret_url},
        }.items():
            client = start(row([engine.url]), **settings)
            assert client.get("/v1/status").json()["cache"]["store"] == wanted


def test_redis_is_up_or_away(start: Start, engine: FakeEngine) -> None:
    with redis_server(password="hidden-in-here") as server:
        client = start(row([engine.url]), redis_url=server.secret_url, cache_store="redis")
        assert client.get("/v1/status").json()["redis"] == "up"
        assert "meralion_redis_up 1.0" in client.get("/metrics").text
        server.kill()
        until(client, lambda status: status["redis"] == "away")
        assert "meralion_redis_up 0.0" in client.get("/metrics").text
        server.start()
        until(client, lambda status: status["redis"] == "up")
        assert "hidden-in-here" not in client.get("/v1/status").text + client.get("/metrics").text
