"""The controller starts its engine, starts it again when it dies, and says why when it cannot."""

from __future__ import annotations

import os
import signal
import sys
import time

import httpx

from tests.backend.conftest import Start, error_of, question, row, streamed, text_of

EMBEDDED = row([], engine="embedded")
COMMAND = (sys.executable, "-m", "tests.backend.fake_engine")  # it answers with its process id
PATH = "/v1/chat/completions"


def answer(client: httpx.Client) -> str:
    response = client.post(PATH, json=question(), timeout=30)
    assert response.status_code == 200, response.text
    text: str = response.json()["choices"][0]["message"]["content"]
    return text


def test_a_request_waits_for_the_engine_to_start_and_two_models_share_it(start: Start) -> None:
    client = start(EMBEDDED + row([], name="voice", kind="speech", engine="embedded"), engine_command=COMMAND)
    assert client.get("/healthz").json()["status"] in ("starting", "ok")
    assert int(answer(client)) > 0
    assert client.get("/healthz").json() == {"status": "ok", "models": {"tiny": "up", "voice": "up"}}


def test_a_killed_engine_is_started_again_and_the_next_request_waits_for_it(start: Start) -> None:
    client = start(EMBEDDED, engine_command=COMMAND)
    first = int(answer(client))
    os.kill(first, signal.SIGKILL)
    second = int(answer(client))
    assert second != first


def test_an_engine_killed_in_the_middle_of_an_answer(start: Start) -> None:
    client = start(EMBEDDED, engine_command=(*COMMAND, "--slow"))
    with client.stream("POST", PATH, json=question(stream=True)) as response:
        lines = response.iter_lines()
        said = next(line for line in lines if '"content":"' in line and '"content":""' not in line)
        os.kill(int(said.split('"content":"')[1].split('"')[0]), signal.SIGKILL)
        last = [line for line in lines if line][-1]
    assert "The model stopped in the middle of its answer. What came so far is kept; ask again." in last
    with client.stream("POST", PATH, json=question(stream=True)) as response:
        assert response.status_code == 200


def test_an_engine_that_cannot_start_says_why_within_a_second_or_so(start: Start) -> None:
    client = start(EMBEDDED, engine_command=(*COMMAND, "--broken"))
    started = time.monotonic()
    error = error_of(client.post(PATH, json=question()), 503)
    assert time.monotonic() - started < 5
    assert error["code"] == "model_unavailable"
    assert "The weights are missing: run `make demo` to install them." in error["message"]
    card = client.get("/v1/models/tiny").json()["meralion"]
    assert (card["state"], card["detail"][:23]) == ("down", "The weights are missing")
    assert client.get("/healthz").json()["status"] == "degraded"


def test_an_engine_that_never_says_it_is_ready(start: Start) -> None:
    silent = (sys.executable, "-c", "import sys; sys.stdin.read()")
    client = start(EMBEDDED, engine_command=silent, start_wait_s=0.5)
    response = client.post(PATH, json=question())
    assert error_of(response, 503)["code"] == "model_starting"
    assert response.headers["retry-after"] == "5"


def test_streams_work_through_a_started_engine(start: Start) -> None:
    client = start(EMBEDDED, engine_command=COMMAND)
    assert int(text_of(streamed(client, question()))) > 0
