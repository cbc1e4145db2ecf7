"""What the pages write down: JSON, closed fields, nothing of a visitor; and a failure is found by its id."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.logger import get_logger
from streamlit.testing.v1 import AppTest

from tests.backend.fake_engine import FakeEngine, refuses
from tests.ui.conftest import tone
from ui import logs
from ui.client import Client, new_http
from ui.visitor import Visitor
from ui.wire import ClientError

SECRET = "durian"


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """A function that returns the lines since the last time; every line must be JSON."""
    logs.configure()
    capsys.readouterr()

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    return lines


def test_events_are_json_with_known_fields_only(written: Callable[[], list[dict[str, Any]]]):
    logs.event("request", request_id="req-1", status=200, code="", model=None)
    (line,) = written()
    assert line.pop("ts").endswith("+00:00")
    assert line == {
        "level": "info",
        "service": "pages",
        "event": "request",
        "request_id": "req-1",
        "status": 200,
    }
    with pytest.raises(KeyError):
        logs.event("request", question=SECRET)


def test_libraries_take_the_form_and_lose_the_values(written: Callable[[], list[dict[str, Any]]]):
    late = get_logger("streamlit.a_module_that_is_loaded_late")
    logs.configure()  # as each run does
    late.warning("The widget %s is odd", SECRET)
    logging.getLogger("a.library").warning("Could not read %r", SECRET)
    try:
        raise ValueError(f"cannot read {SECRET}")
    except ValueError as error:
        late.error("Uncaught app execution", exc_info=error)
        logs.failed(error)
    lines = written()
    assert [line["event"] for line in lines] == [late.name, "a.library", late.name, "internal error"]
    assert lines[0]["reason"] == "The widget %s is odd"
    assert all(line["reason"].startswith("ValueError at test_logs.py:") for line in lines[2:])
    assert SECRET not in json.dumps(lines)


def test_a_failure_on_the_page_is_found_by_its_id(
    page: Callable[[], AppTest], engine: FakeEngine, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, logger="ui")
    test = page()
    test.file_uploader[0].set_value((f"{SECRET}.wav", tone(2.8), "audio/wav")).run()
    engine.default = refuses(500, message=SECRET)
    test.text_area(key="prompt").set_value(f"What is a {SECRET}?").run()
    test.button(key="ask").click().run()
    assert test.error
    said = next(text for text in (caption.value for caption in test.caption) if "req-" in text)
    found = re.search(r"req-[0-9a-f]{16}", said)
    assert found
    told = [record.__dict__["fields"] for record in caplog.records if hasattr(record, "fields")]
    mine = [fields for fields in told if fields.get("request_id") == found[0]]
    assert any(fields.get("route") == "/v1/chat/completions" and fields.get("code") for fields in mine)
    assert engine.exchanges[-1].headers["x-request-id"] == found[0]
    assert SECRET not in json.dumps(told)


def test_a_look_that_keeps_failing_is_told_once(written: Callable[[], list[dict[str, Any]]]):
    with new_http() as http:
        client = Client(lambda: "http://127.0.0.1:1", Visitor("visitor-of-the-log-tests"), http, local=False)
        for _ in range(5):
            with pytest.raises(ClientError):
                client.has("file-of-nobody")
    assert [line["route"] for line in written()] == ["/v1/files/{id}"]
