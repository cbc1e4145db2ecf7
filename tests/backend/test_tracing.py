"""Traces, sent to a real receiver of OTLP over HTTP: whole, without content, and off unless asked for."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend import tracing
from backend.errors import StartError
from backend.settings import Settings
from tests.backend.conftest import VISITOR, question, row, serving, streamed
from tests.backend.fake_engine import FakeEngine, refuses, says
from tests.backend.test_models import until_up
from tests.collector import Collector
from tests.model import clips

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def collector() -> Iterator[Collector]:
    one = Collector()
    yield one
    one.close()


def asked(collector: Collector, engine: FakeEngine, tmp_path: Path, ask: Any) -> list[dict[str, Any]]:
    """The spans of what `ask` does with a controller that has since stopped."""
    models = tmp_path / "models.toml"
    models.write_text(row([engine.url]))
    settings = Settings(models=models, cache_store="none", otlp_endpoint=collector.url, retries=0)
    with (
        serving(settings) as url,
        httpx.Client(base_url=url, headers=VISITOR, timeout=30, trust_env=False) as client,
    ):
        until_up(client)
        ask(client)
    return collector.spans()


def test_a_question_is_one_trace(collector: Collector, engine: FakeEngine, tmp_path: Path) -> None:
    secret = "Tell me about the durian"
    engine.default = says("Thorns", gap_s=0.02)

    def ask(client: httpx.Client) -> None:
        file = client.post("/v1/files", files={"file": ("my-diary.wav", clips.plain_wav())}).json()
        part = {"type": "file", "file": {"file_id": file["id"]}}
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "req-of-mine"}
        streamed(client, question(secret, part, temperature=0), headers=headers)

    spans = asked(collector, engine, tmp_path, ask)
    mine = {span["name"].split(" ")[0]: span for span in spans if span["trace"] == TRACE}
    assert set(mine) == {"POST", "decode", "queue", "upstream"}
    request = mine["POST"]
    assert request["parent"] == PARENT
    assert all(mine[name]["parent"] == request["id"] for name in ("decode", "queue", "upstream"))
    assert request["name"] == "POST /v1/chat/completions"
    assert request["attributes"] == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "gen_ai.request.model": "tiny",
        "meralion.request_id": "req-of-mine",
        "meralion.cache": "miss",
        "meralion.instance": engine.url.removeprefix("http://"),
        "meralion.audio_seconds": pytest.approx(2.0, abs=2.0),
    }
    assert 20 <= mine["upstream"]["ms"] <= request["ms"]
    # The engine can go on with the trace, below the attempt that asked it.
    (exchange,) = engine.exchanges
    assert exchange.headers["traceparent"] == f"00-{TRACE}-{mine['upstream']['id']}-01"
    sent = b"".join(one.SerializeToString() for one in collector.requests)
    for word in (secret, "durian", "Thorns", "diary", VISITOR["x-meralion-visitor"]):
        assert word.encode() not in sent
    assert b"meralion-controller" in sent


def test_a_failure_is_named_and_not_quoted(collector: Collector, engine: FakeEngine, tmp_path: Path) -> None:
    engine.default = refuses(500, message="durian")
    spans = asked(
        collector,
        engine,
        tmp_path,
        lambda client: client.post("/v1/chat/completions", json=question("durian?")),
    )
    upstream = next(span for span in spans if span["name"] == "upstream")
    assert upstream["failed"]
    assert upstream["attributes"]["error.type"] == "upstream_failed"
    request = next(span for span in spans if span["id"] == upstream["parent"])
    assert request["failed"]
    assert request["attributes"]["http.response.status_code"] == 502
    assert request["attributes"]["error.type"] == "upstream_failed"
    assert b"durian" not in b"".join(one.SerializeToString() for one in collector.requests)


def test_a_caller_who_is_not_sampled_is_not_traced(
    collector: Collector, engine: FakeEngine, tmp_path: Path
) -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
    spans = asked(collector, engine, tmp_path, lambda client: streamed(client, question(), headers=headers))
    assert TRACE not in {span["trace"] for span in spans}
    assert engine.exchanges[0].headers["traceparent"].endswith("-00")


def test_a_collector_that_is_away_harms_nothing(engine: FakeEngine, tmp_path: Path) -> None:
    away = Collector()
    away.close()
    asked(away, engine, tmp_path, lambda client: json.dumps(streamed(client, question())))


def test_without_an_endpoint_nothing_is_traced() -> None:
    off = tracing.tracer("")
    with off.request({"traceparent": f"00-{TRACE}-{PARENT}-01"}, method="GET") as request:
        assert request is tracing.OFF
        assert tracing.span("decode", model="tiny") is tracing.OFF
        assert request.headers() == {}


def test_what_is_missing_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(StartError, match=r"requirements/tracing\.txt"):
        tracing.tracer("http://127.0.0.1:4318")


def test_an_endpoint_is_an_address() -> None:
    with pytest.raises(StartError, match="MERALION_OTLP_ENDPOINT"):
        tracing.tracer("collector:4318")


def test_attributes_are_those_that_are_known(collector: Collector) -> None:
    tracer = tracing.tracer(collector.url)
    with tracer.request({}, method="GET") as request, pytest.raises(KeyError):
        request.set(text="durian")
    asyncio.run(tracer.close())
    assert [span["name"] for span in collector.spans()] == ["request"]


def test_looks_are_neither_traced_nor_written_down_unless_they_fail(
    collector: Collector, engine: FakeEngine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="backend")

    def ask(client: httpx.Client) -> None:
        assert client.get("/v1/status").status_code == 200
        assert client.get("/v1/models/none").status_code == 404
        header = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        assert client.get("/v1/models", headers=header).status_code == 200

    spans = asked(collector, engine, tmp_path, ask)
    assert {span["name"] for span in spans} == {"GET /v1/models/{model:path}", "GET /v1/models"}
    assert {span["trace"] for span in spans if span["name"] == "GET /v1/models"} == {TRACE}
    told = [record.__dict__["fields"] for record in caplog.records if record.getMessage() == "request"]
    assert [fields["status"] for fields in told] == [404]
