"""The controller starts its engine, starts it again when it dies, and says why when it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from pathlib import Path

import httpx
import pytest

from backend.engines import Engine
from backend.fleet import keep_going
from backend.instance import Instance, State
from backend.watch import Watch
from benchmarks import virtual_time
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
    """The engine that is started in its place goes on from the text that was sent."""
    client = start(EMBEDDED, engine_command=(*COMMAND, "--slow"))
    with client.stream("POST", PATH, json=question(stream=True)) as response:
        found = (re.search(r'"content":"(\d+)"', line) for line in response.iter_lines())
        pids = (int(said[1]) for said in found if said)
        first = next(pids)
        os.kill(first, signal.SIGKILL)
        assert next(pids) != first


async def _pids_of_a_hung_engine() -> list[int]:
    instance = Instance("embedded", supervised=True)
    engine = Engine(COMMAND, instance, hung_looks=3)

    async def pid() -> int:
        async with asyncio.timeout(20):
            while instance.state != "up":
                await instance.changed()
        response = await client.post(f"{instance.url}{PATH}", json=question())
        said = re.search(r'"content": "(\d+)"', response.text)
        assert said
        return int(said[1])

    async with httpx.AsyncClient(trust_env=False) as client:
        watch = Watch(instance, client, 0.2, timeout_s=0.2)
        tasks = [asyncio.create_task(engine.run()), asyncio.create_task(watch.run())]
        pids = [await pid()]
        os.kill(pids[0], signal.SIGSTOP)
        async with asyncio.timeout(20):
            while instance.state == "up":
                await instance.changed()
        pids.append(await pid())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return pids


def test_an_engine_that_hangs_is_killed_and_started_again() -> None:
    first, second = asyncio.run(_pids_of_a_hung_engine())
    assert first != second
    for pid in (first, second):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            raise AssertionError(f"{pid} is left behind")


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
    client = start(EMBEDDED, engine_command=silent, queue_timeout_s=0.5)
    response = client.post(PATH, json=question())
    assert error_of(response, 503)["code"] == "model_starting"
    assert response.headers["retry-after"] == "5"


def test_streams_work_through_a_started_engine(start: Start) -> None:
    client = start(EMBEDDED, engine_command=COMMAND)
    assert int(text_of(streamed(client, question()))) > 0


def test_an_engine_whose_program_is_not_there_yet_is_tried_again(start: Start, tmp_path: Path) -> None:
    program = tmp_path / "engine"
    client = start(EMBEDDED, engine_command=[str(program)])
    deadline = time.monotonic() + 10
    while "could not be started" not in (said := client.get("/v1/models/tiny").json()["meralion"])["detail"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert said["state"] == "starting"
    assert said["detail"] == "The engine could not be started: No such file or directory. It is tried again."
    new = tmp_path / "new"
    new.write_text(f"#!/bin/sh\nexec {' '.join(COMMAND)}\n")
    new.chmod(0o755)
    new.replace(program)
    assert int(answer(client)) > 0


def test_after_thousands_of_failures_an_engine_is_still_tried_again() -> None:
    instance = Instance("embedded", supervised=True)

    class Broken(Engine):
        tries = 0

        async def _spawn(self) -> asyncio.subprocess.Process:
            self.tries += 1
            raise OSError(24, "Too many open files")

    async def scene() -> None:
        engine = Broken((), instance)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(engine.run(), 20_000)
        assert engine.tries > 1_900
        assert (instance.state, "Too many open files" in instance.detail) == ("down", True)

    virtual_time.run(scene())


@pytest.mark.parametrize(("supervised", "state"), [(False, "down"), (True, "starting")])
def test_what_looks_after_an_instance_goes_on_after_a_mistake_of_ours(
    supervised: bool, state: State, caplog: pytest.LogCaptureFixture
) -> None:
    instance = Instance("one", supervised=supervised)
    times: list[float] = []

    async def job() -> None:
        times.append(asyncio.get_running_loop().time())
        if len(times) < 5:
            instance.set("up")
            raise RuntimeError("a secret")
        instance.set("up")
        await asyncio.sleep(1_000)

    async def scene() -> None:
        task = asyncio.create_task(keep_going(job, instance))
        await asyncio.sleep(0.1)
        assert (instance.state, "mistake of its own" in instance.detail) == (state, True)
        await asyncio.sleep(20)
        assert instance.state == "up"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(scene())
    assert times == [0, 0.5, 1.5, 3.5, 7.5]
    told = [record for record in caplog.records if record.msg == "internal error"]
    assert [record.fields["instance"] for record in told] == ["one"] * 4  # type: ignore[attr-defined]
    assert "RuntimeError at test_engines.py" in told[0].fields["reason"]  # type: ignore[attr-defined]
    assert "secret" not in told[0].fields["reason"]  # type: ignore[attr-defined]
