"""The document says what the controller does: all of its routes, valid, and true when it is tried."""

from __future__ import annotations

import contextlib
from typing import Any

import httpx
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from starlette.routing import Route

from backend import api, openapi
from backend.settings import Settings
from tests.backend.conftest import Start, question, row, streamed
from tests.backend.fake_engine import FakeEngine, refuses, sends, stalls_after
from tests.model import clips

DOCUMENT = openapi.document(Settings())
OPERATIONS = [
    (method, path)
    for path, operations in DOCUMENT["paths"].items()
    for method in operations
    if method != "parameters"
]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
    allow_header_conformance,
]


def conforms(value: Any, schema: str) -> None:
    jsonschema.Draft202012Validator(
        {"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]}
    ).validate(value)


def test_it_is_valid_and_served(client: httpx.Client) -> None:
    served = client.get("/openapi.json")
    assert served.headers["content-type"] == "application/json"
    assert served.json() == DOCUMENT
    schemathesis.openapi.from_dict(DOCUMENT).validate()


def test_every_route_is_in_it_and_nothing_else(start: Start, engine: FakeEngine, tmp_path: Any) -> None:
    models = tmp_path / "models.toml"
    models.write_text(row([engine.url]))
    app = api.create_app(Settings(models=models, cache_store="none"))
    routes = {(method, path) for path, methods in app.openapi()["paths"].items() for method in methods}
    routes |= {("post", route.path) for route in app.routes if isinstance(route, Route)}
    assert routes == set(OPERATIONS)


def test_the_bounds_are_those_that_are_set() -> None:
    small = openapi.document(Settings(max_audio_bytes=2**20))
    assert "1 MiB" in small["paths"]["/v1/files"]["post"]["summary"]


def test_answers_are_as_described(client: httpx.Client) -> None:
    whole = client.post("/v1/chat/completions", json=question(temperature=0)).json()
    conforms(whole, "ChatCompletion")
    *events, end = streamed(client, question(stream_options={"include_usage": True}))
    assert end == "[DONE]"
    for event in events:
        conforms(event, "ChatChunk")
    file = client.post("/v1/files", files={"file": ("a.wav", clips.plain_wav())}).json()
    conforms(file, "File")
    conforms(client.get("/v1/files").json(), "FileList")
    conforms(client.delete(f"/v1/files/{file['id']}").json(), "FileDeleted")
    conforms(client.get("/v1/status").json(), "Status")
    conforms(client.get("/v1/models").json(), "ModelList")
    conforms(client.get("/healthz").json(), "Health")


def test_what_is_refused_is_as_described(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]), first_byte_timeout_s=2.0, retries=0)
    for behave, status in (
        (refuses(400), 400),
        (refuses(429), 429),
        (refuses(500), 502),
        (refuses(503), 503),
        (stalls_after(), 502),
        (sends(b"nonsense", content_type="text/html"), 502),
    ):
        engine.default = behave
        refused = client.post("/v1/chat/completions", json=question())
        assert refused.status_code == status
        assert str(status) in DOCUMENT["paths"]["/v1/chat/completions"]["post"]["responses"]
        conforms(refused.json(), "Error")


@pytest.mark.parametrize(
    "mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value
)
def test_it_is_true_when_it_is_tried(mode: GenerationMode, start: Start, engine: FakeEngine) -> None:
    """What schemathesis makes of the document, right or wrong, is answered as the document says."""
    client = start(row([engine.url]), queue_timeout_s=1.0, visitor_requests_per_minute=0)
    engine.default = sends(
        b'data: {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]}\n\n'
        b"data: [DONE]\n\n"
    )
    schema = schemathesis.openapi.from_url(f"{client.base_url}/openapi.json")
    schema.config.update(base_url=str(client.base_url))
    tried = set()
    for result in schema.get_all_operations():
        operation = result.ok()
        strategy = operation.as_strategy(generation_mode=mode)

        @given(case=strategy)
        @settings(
            max_examples=8,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def answer(case: schemathesis.Case) -> None:
            tried.add((case.method.lower(), case.path))
            case.call_and_validate(checks=CHECKS)

        with contextlib.suppress(Unsatisfiable if mode is GenerationMode.NEGATIVE else ()):
            answer()  # there may be nothing in it that could be wrong
    asked_with_bodies = {operation for operation in OPERATIONS if operation[0] == "post"}
    everything = set(OPERATIONS) - {("get", "/openapi.json")}
    assert tried >= (everything if mode is GenerationMode.POSITIVE else asked_with_bodies)
