"""What schemathesis makes of our OpenAPI document, right and wrong, sent and compared with the document.

Half of the time a model that is there, a recording that can be heard or a file that was uploaded is put into
what it made, so that more than the first check is reached.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from benchmarks.fuzzing.corpus import VOICE
from benchmarks.fuzzing.tally import Tally
from benchmarks.load.questions import MODEL

_CHECKS: Sequence[Any] = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
    allow_header_conformance,
)
_ROUND = 40  # cases of one operation, of one mode
_TIMEOUT_S = 15.0
_VISITOR = {"x-meralion-visitor": "fuzz-visitor-schema"}
_MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


class Enough(Exception):
    """As many requests as were wanted."""


class Schema:
    """Sends cases until there were enough."""

    def __init__(self, port: int, tally: Tally, sound: bytes, chosen: int) -> None:
        """Read the document from the controller; `chosen` is the seed."""
        self._tally = tally
        self._sound = sound
        self._seed = chosen
        self._session = requests.Session()
        self._session.trust_env = False
        self._url = f"http://127.0.0.1:{port}"
        document = self._session.get(f"{self._url}/openapi.json", timeout=_TIMEOUT_S).json()
        schema = schemathesis.openapi.from_dict(document)
        schema.config.update(base_url=self._url)
        schema.config.max_stream_events = 10_000  # it would leave after a few
        self._operations: list[Any] = [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]
        self._sent = self._wanted = 0
        self._file = ""

    def run(self, wanted: int) -> None:
        """Send so many: round after round, every operation in both modes."""
        self._wanted = wanted
        ways = [(operation, mode) for operation in self._operations for mode in _MODES]
        number = 0
        while self._sent < wanted:
            number += 1
            ways = [way for way in ways if self._round(*way, number)]

    def _round(self, operation: Any, mode: GenerationMode, number: int) -> bool:
        """Send some cases of one operation; False when there are none of this mode."""
        lot = Random(f"{self._seed} {operation.label} {mode.value} {number}")

        @seed(lot.getrandbits(32))
        @settings(
            max_examples=_ROUND,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def send(case: Case[Any]) -> None:
            if self._sent < self._wanted:
                self._send(case, lot, f"schema-{mode.value}-{number}")

        try:
            send()
        except Unsatisfiable:
            return False
        return True

    def _send(self, case: Case[Any], lot: Random, where: str) -> None:
        if lot.random() < 0.5:
            self._deepen(case)
        self._sent += 1
        began = time.perf_counter()
        name = f"{where}-{self._sent}"
        try:
            response = case.call(session=self._session, headers=_VISITOR, timeout=_TIMEOUT_S)
        except (requests.ConnectionError, requests.Timeout) as error:
            self._tally.add("schema", name, 0, "", time.perf_counter() - began)
            self._tally.fail(name, type(error).__name__, case.as_curl_command().encode(), str(error).encode())
            return
        self._tally.add(
            "schema", name, response.status_code, self._learn(response), time.perf_counter() - began
        )
        if wrong := _wrong(case, response):
            answer = b"%d " % response.status_code + response.content
            self._tally.fail(name, f"{response.status_code}: {wrong}", _sent(response.request), answer)

    def _deepen(self, case: Case[Any]) -> None:
        """Put what is there into the places where chance finds nothing."""
        speaks = case.path.endswith("/speech")
        known: Mapping[str, Any] = {
            "model": VOICE if speaks else MODEL,
            "file": self._sound,
            "file_id": self._file,
        }
        for holder in (case.body, case.path_parameters):
            for field in known:
                if isinstance(holder, dict) and field in holder and known[field]:
                    holder[field] = known[field]

    def _learn(self, response: Any) -> str:
        """Remember a file that was uploaded; return the code of an error."""
        try:
            body = response.json()
        except ValueError:
            return ""
        if not isinstance(body, dict):
            return ""
        if body.get("object") == "file" and "filename" in body:
            self._file = str(body["id"])
        error = body.get("error")
        return str(error.get("code", "")) if isinstance(error, dict) else ""


def _wrong(case: Case[Any], response: Any) -> str:
    """Compare an answer with the document; say what is wrong, or nothing."""
    streamed = response.headers.get("content-type", [""])[0].startswith("text/event-stream")
    # It would hold each event against the schema, which by OpenAPI 3.1 describes the whole.
    checks = [check for check in _CHECKS if not streamed or check is not response_schema_conformance]
    try:
        case.validate_response(response, checks=checks)
    except (FailureGroup, Failure) as error:
        found = error.exceptions if isinstance(error, FailureGroup) else [error]
        return "; ".join(sorted({getattr(one, "title", "") or type(one).__name__ for one in found}))
    ends = response.content.rstrip().endswith(b"data: [DONE]")
    return "a stream without an end" if streamed and not ends else ""


def _sent(request: requests.PreparedRequest) -> bytes:
    """Return the request that was sent as its bytes."""
    lines = [f"{request.method} {request.path_url} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {_text(value)}" for name, value in request.headers.items()]
    body: Any = request.body or b""
    data = body.encode() if isinstance(body, str) else bytes(body)
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + data


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
