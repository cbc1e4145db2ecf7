"""A caller who leaves frees the engine's place at once, before the first word and after it."""

from __future__ import annotations

import json
import socket
import time

import httpx

from tests.backend.conftest import Start, question, row
from tests.backend.fake_engine import FakeEngine, stalls_after

PATIENT = {"silence_timeout_s": 60.0, "first_byte_timeout_s": 60.0}
PATH = "/v1/chat/completions"


def test_leaving_in_the_middle_of_a_stream(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]), **PATIENT)
    engine.script = [stalls_after("one")]
    with client.stream("POST", PATH, json=question(stream=True)) as response:
        for line in response.iter_lines():
            if "one" in line:
                break
    assert engine.exchanges[0].left.wait(5)
    assert client.post(PATH, json=question()).status_code == 200


def test_leaving_before_the_first_word(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]), **PATIENT)
    for stream in (True, False):
        engine.script = [stalls_after()]
        _ask_and_hang_up(client, question(stream=stream), engine)
        assert engine.exchanges[-1].left.wait(5)
    assert client.post(PATH, json=question()).status_code == 200


def test_an_answer_that_was_left_is_not_kept(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]), **PATIENT)
    body = question(temperature=0, stream=True)
    engine.script = [stalls_after("one")]
    with client.stream("POST", PATH, json=body) as response:
        next(line for line in response.iter_lines() if "one" in line)
    assert engine.exchanges[0].left.wait(5)
    assert client.post(PATH, json=body).headers["x-meralion-cache"] == "miss"


def _ask_and_hang_up(client: httpx.Client, body: dict[str, object], engine: FakeEngine) -> None:
    """Send a request by hand, and close the connection once the engine has it."""
    before = len(engine.exchanges)
    data = json.dumps(body).encode()
    fields = f"host: x\r\ncontent-type: application/json\r\ncontent-length: {len(data)}"
    with socket.create_connection((client.base_url.host, client.base_url.port or 80)) as caller:
        caller.sendall(f"POST {PATH} HTTP/1.1\r\n{fields}\r\n\r\n".encode() + data)
        deadline = time.monotonic() + 5
        while len(engine.exchanges) == before and time.monotonic() < deadline:
            time.sleep(0.005)
