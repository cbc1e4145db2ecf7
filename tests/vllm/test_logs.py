"""What a served vLLM writes down and sends: a request by its id and trace, and nothing of its words."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx

from tests.collector import Collector
from tests.vllm.served import Served
from tests.vllm.test_serve import question

SECRET = "durianpuffs"
ID = "req-of-the-vllm-tests"


def lines(served: Served) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in served.log.splitlines() if line.startswith("{")]
    return [line for line in found if line.get("request_id", "").startswith(ID)]


def test_a_request_is_found_by_its_id_and_its_words_are_not(served: Served) -> None:
    chat = "/v1/chat/completions"
    headers = {"x-request-id": f"{ID}-1"}
    body = {
        "model": served.name,
        "messages": [question(f"Tell me about {SECRET}.")],
        "max_tokens": 8,
        "stop": [SECRET],
    }
    assert served.post(chat, json=body, headers=headers).status_code == 200
    wrong = [
        {**body, "max_tokens": 10**9},
        {**body, "temperature": SECRET},
        {**body, "messages": [question(SECRET * 3_000)]},
        {**body, "messages": [{"role": SECRET, "content": SECRET}]},
        {**body, SECRET: SECRET, "n": -1},
    ]
    refused = 0
    for number, one in enumerate(wrong, 2):
        reply = served.post(chat, json=one, headers={"x-request-id": f"{ID}-{number}"})
        refused += reply.status_code >= 400
    assert refused >= 3
    assert served.post(chat, content=f'{{"{SECRET}', headers=headers).status_code == 400
    assert served.post(f"/v1/{SECRET}", json=body, headers=headers).status_code == 404
    told = lines(served)
    assert {line["request_id"] for line in told} == {f"{ID}-{number}" for number in range(1, 7)}
    assert told[0]["route"] == chat and told[0]["status"] == 200
    assert all(line["service"] == "engine" for line in told)
    assert SECRET not in served.log


def test_its_spans_stand_below_the_callers(served: Served, collector: Collector) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    body = {"model": served.name, "messages": [question(f"Tell me about {SECRET}.")], "max_tokens": 4}
    headers = {"traceparent": f"00-{trace}-{parent}-01"}
    assert served.post("/v1/chat/completions", json=body, headers=headers).status_code == 200
    deadline = time.monotonic() + 30  # spans are sent in batches, every five seconds
    while not (mine := [span for span in collector.spans() if span["trace"] == trace]):
        assert time.monotonic() < deadline, "no span of the request has come"
        time.sleep(0.1)
    assert any(span["parent"] == parent for span in mine)
    sent = b"".join(one.SerializeToString() for one in collector.requests)
    assert SECRET.encode() not in sent
    assert b"meralion-vllm" in sent
    assert "\n  traces     http://127.0.0.1:" in served.log


def test_looks_at_its_health_are_not_written_down(served: Served) -> None:
    before = served.log.count('"event": "request"')
    assert httpx.get(f"{served.url}/health", headers={"x-request-id": f"{ID}-0"}).status_code == 200
    assert served.log.count('"event": "request"') == before
