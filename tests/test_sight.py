"""One question through pages, controller and embedded engine, as their logs and their traces tell of it."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

import backend.tracing
import model.embedded.tracing
from tests.collector import Collector
from tests.speech import CASCADE, ROOT, sample
from ui import connection, logs, tracing
from ui.answer import Answer
from ui.client import Client, new_http
from ui.visitor import Visitor
from ui.wire import ClientError

pytestmark = pytest.mark.engine

QUESTION = "What does the customer order at the hawker stall?"
NAME = "sambal-stingray.mp3"
VISITOR = "visitor-of-the-sight-tests"
SECRET = "a-secret-for-the-tests-of-logs-and-traces"


@dataclass
class Seen:
    """What one question left: its id, its answer, every log's lines, and the spans."""

    request_id: str
    answer: str
    lines: list[dict[str, Any]]
    log: str
    spans: list[dict[str, Any]]
    sent: bytes
    services: dict[str, str] = field(default_factory=dict)  # by span id

    def of(self, service: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["service"] == service]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("sight")
    collector = Collector()
    own = io.StringIO()
    handler = logging.StreamHandler(own)
    handler.setFormatter(logs._form)
    logging.getLogger("ui").addHandler(handler)
    logs.configure()
    tracing.start(collector.url)
    with (folder / "log").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "backend"],
            cwd=ROOT,
            env={
                **os.environ,
                "MERALION_PORT": "0",
                "MERALION_EXIT_WITH_PARENT": "1",
                "MERALION_VISITOR_SECRET": SECRET,
                "MERALION_CACHE_STORE": "none",
                "MERALION_ENGINE_WHISPER_TINY": "false",
                "MERALION_OTLP_ENDPOINT": collector.url,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        assert process.stdout and process.stdin
        ready = json.loads(process.stdout.readline())
        url = f"http://{ready['host']}:{ready['port']}"
        with new_http() as http:
            client = Client(lambda: url, Visitor(VISITOR, SECRET), http, local=False)
            answer = Answer(QUESTION, lambda: asked(client), 60)
            progress = answer.progress
            while not progress.ended:
                progress = answer.wait(progress.version, 60)
            assert progress.phase == "done", progress.error
            sound = client.speak("Two kopi, please.", "kokoro-82m")
            assert sound[:4] == b"RIFF"
        ended = time.monotonic() + 10  # the thread that followed the answer writes the last line
        while "question done" not in own.getvalue() and time.monotonic() < ended:
            time.sleep(0.02)
    finally:
        tracing.stop()
        logging.getLogger("ui").removeHandler(handler)
        assert process.stdin and process.stdout
        process.stdin.close()
        process.wait(timeout=20)
        process.stdout.close()
    log = own.getvalue() + (folder / "log").read_text()
    found = Seen(
        answer.request_id,
        progress.text,
        [json.loads(line) for line in log.splitlines()],
        log,
        collector.spans(),
        b"".join(one.SerializeToString() for one in collector.requests),
    )
    for request in collector.requests:
        for resource in request.resource_spans:
            service = next(
                pair.value.string_value for pair in resource.resource.attributes if pair.key == "service.name"
            )
            for scope in resource.scope_spans:
                found.services |= {span.span_id.hex(): service for span in scope.spans}
    yield found
    collector.close()


def asked(client: Client) -> Any:
    connection.wait_until_up(client, CASCADE)
    clip = client.upload(sample("sl-hawker"), NAME)
    return client.ask(CASCADE, QUESTION, clip.file_id, 64, 60)


def test_every_line_is_json_with_the_service_that_wrote_it(seen: Seen) -> None:
    assert {line["service"] for line in seen.lines} == {"pages", "controller", "engine"}
    known = {"ts", "level", "service", "event"}
    assert all(known <= line.keys() for line in seen.lines)
    assert all(line.keys() <= known | logs.FIELDS for line in seen.of("pages"))


def test_one_id_leads_through_all_logs(seen: Seen) -> None:
    mine = [line for line in seen.lines if line.get("request_id") == seen.request_id]
    routes = {(line["service"], line.get("route")) for line in mine}
    chat = "/v1/chat/completions"
    assert {("pages", chat), ("controller", chat), ("engine", chat)} <= routes
    assert {("pages", "/v1/files"), ("controller", "/v1/files")} <= routes
    whole = next(line for line in mine if line["event"] == "question done")
    engine = next(line for line in mine if line["service"] == "engine")
    assert engine["model"] == CASCADE and engine["status"] == 200 and "code" not in engine
    assert engine["seconds"] > 5 and engine["count"] > 5
    assert engine["ms"] <= whole["ms"]


def test_nothing_that_was_said_is_in_any_log_or_trace(seen: Seen) -> None:
    words = {word.strip(".,?!“”\"'").lower() for word in f"{QUESTION} {seen.answer}".split()}
    telling = {word for word in words if len(word) > 4}
    assert len(telling) > 3
    # Words that stand in the lines' own form, such as "order" in no line and "model" in all, count as theirs.
    form = {"model", "request", "route", "status", "level", "event", "service", "engine", "seconds"}
    for word in (telling - form) | {NAME, "stingray", VISITOR, SECRET, "kopi"}:
        assert word not in seen.log.lower(), word
        assert word.encode() not in seen.sent.lower(), word


def test_one_trace_holds_the_spans_of_all_three(seen: Seen) -> None:
    question = next(span for span in seen.spans if span["name"] == "question")
    trace = [span for span in seen.spans if span["trace"] == question["trace"]]
    by_id = {span["id"]: span for span in trace}
    assert {seen.services[span["id"]] for span in trace} == {
        "meralion-pages",
        "meralion-controller",
        "meralion-engine",
    }

    def way(span: dict[str, Any]) -> list[str]:
        """From a span up to the root."""
        service = seen.services[span["id"]].removeprefix("meralion-")
        above = by_id.get(span["parent"])
        assert above or not span["parent"], "a parent that is in no trace"
        return [f"{service}: {span['name']}", *(way(above) if above else [])]

    chat = "POST /v1/chat/completions"
    up = ["controller: upstream", f"controller: {chat}", f"pages: {chat}", "pages: question"]
    ways = [way(span) for span in trace]
    for leaf in ("transcribe", "answer"):
        assert [f"engine: {leaf}", f"engine: {chat}", *up] in ways
    files = "POST /v1/files"
    assert [f"controller: {files}", f"pages: {files}", "pages: question"] in ways
    assert question["attributes"] == {"meralion.request_id": seen.request_id}
    for span in trace:
        assert span["ms"] <= question["ms"] + 50
        assert not span["failed"]
    spoken = next(span for span in seen.spans if span["name"] == "speech")
    assert seen.services[spoken["id"]] == "meralion-engine"
    assert spoken["trace"] != question["trace"]


def test_attributes_are_the_controllers() -> None:
    for others in (tracing.ATTRIBUTES, model.embedded.tracing.ATTRIBUTES):
        assert others.items() <= backend.tracing.ATTRIBUTES.items()


def test_a_failure_has_the_id_that_the_log_has(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="ui")
    with new_http() as http, pytest.raises(ClientError) as caught:
        Client(lambda: "http://127.0.0.1:1", Visitor(VISITOR), http, local=False).upload(b"RIFF", NAME)
    (record,) = [record for record in caplog.records if record.getMessage() == "request"]
    fields = record.__dict__["fields"]
    assert fields["request_id"] == caught.value.request_id
    assert fields["code"] == "backend_gone"


@pytest.mark.parametrize("module", [tracing, model.embedded.tracing], ids=["pages", "engine"])
def test_a_missing_package_is_told_in_words(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(Exception, match=r"requirements/tracing\.txt") as caught:
        module.start("http://127.0.0.1:4318")
    assert type(caught.value).__name__ == "SettingsError"
    module.stop()


def test_off_costs_nothing_and_loads_nothing() -> None:
    code = (
        "import sys; from ui import tracing; import model.embedded.tracing as engine\n"
        "tracing.start(''); engine.start('')\n"
        "with tracing.span('question', request_id='x') as span: assert span is tracing.OFF\n"
        "with engine.span('answer'): pass\n"
        "print(*[name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_a_collector_that_is_away_harms_no_question() -> None:
    away = Collector()
    away.close()
    tracing.start(away.url)
    try:
        with tracing.span("question") as span:
            assert span.headers()["traceparent"]
    finally:
        started = time.monotonic()
        tracing.stop()
    assert time.monotonic() - started < 10
