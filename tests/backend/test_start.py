"""The controller as a process: it says when it is ready, fails in one sentence, and leaves nothing behind."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.backend.conftest import VISITOR, error_of, question, row
from tests.model import clips

ROOT = Path(__file__).parents[2]
PATH = "/v1/chat/completions"
Launch = Callable[..., "Process"]


class Process:
    """A running controller."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.popen = popen
        self.log = log
        assert popen.stdout is not None
        line = popen.stdout.readline()
        assert line, log.read_text()
        self.ready = json.loads(line)
        url = f"http://{self.ready['host']}:{self.ready['port']}"
        self.client = httpx.Client(base_url=url, headers=VISITOR, timeout=30, trust_env=False)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    (tmp_path / "models.toml").write_text(row([], engine="embedded"))
    with contextlib.ExitStack() as stack:

        def begin(*arguments: str, module: str = "tests.backend.serve", **environment: str) -> Process:
            log = tmp_path / "log"
            popen = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stack.enter_context(log.open("wb")),
                cwd=ROOT,
                env={
                    **os.environ,
                    "MERALION_PORT": "0",
                    "MERALION_MODELS": str(tmp_path / "models.toml"),
                    "MERALION_EXIT_WITH_PARENT": "1",
                    **environment,
                },
            )
            stack.callback(_end, popen)
            process = Process(popen, log)
            stack.callback(process.client.close)
            return process

        yield begin


def _end(popen: subprocess.Popen[bytes]) -> None:
    popen.kill()
    popen.wait()
    for pipe in (popen.stdin, popen.stdout):
        assert pipe is not None
        with contextlib.suppress(BrokenPipeError):
            pipe.close()


def gone(pid: int, within_s: float = 6.0) -> bool:
    """Whether a process ends in time."""
    deadline = time.monotonic() + within_s
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def engine_pid(process: Process) -> int:
    response = process.client.post(PATH, json=question())
    return int(response.json()["choices"][0]["message"]["content"])


def test_the_ready_line_names_the_port_that_was_picked(launch: Launch) -> None:
    process = launch()
    assert process.ready["event"] == "ready"
    assert process.ready["host"] == "127.0.0.1"
    assert process.client.get("/v1/models").status_code == 200


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "SIGKILL", "the parent's end"])
def test_however_it_ends_engine_and_decoder_end_too(launch: Launch, how: str) -> None:
    process = launch()
    engine = engine_pid(process)
    flac = clips.encoded("flac", "flac")
    assert process.client.post("/v1/files", files={"file": ("a.flac", flac)}).status_code == 200
    children = [
        int(pid)
        for pid in Path(f"/proc/{process.popen.pid}/task/{process.popen.pid}/children").read_text().split()
    ]
    assert engine in children
    assert len(children) == 2
    if how == "the parent's end":
        assert process.popen.stdin is not None
        process.popen.stdin.close()
    else:
        process.popen.send_signal(getattr(signal, how))
    process.popen.wait(10)
    assert all(gone(child) for child in children)
    with socket.socket() as port:
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port.bind(("127.0.0.1", process.ready["port"]))


def test_it_ends_within_seconds_though_an_answer_is_under_way(launch: Launch) -> None:
    process = launch("--slow")
    with process.client.stream("POST", PATH, json=question(stream=True)) as response:
        lines = response.iter_lines()  # dropped, it would close the stream
        next(line for line in lines if '"content"' in line)
        started = time.monotonic()
        process.popen.send_signal(signal.SIGTERM)
        process.popen.wait(10)
        assert time.monotonic() - started < 7


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "backend"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=20,
        env={**os.environ, **environment},
    )


def test_a_taken_port_is_one_plain_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        failed = run(MERALION_PORT=str(port))
    assert failed.returncode == 2
    assert failed.stderr.startswith(f"Port {port} is taken")
    assert "MERALION_PORT" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1
    assert failed.stdout == ""


def test_wrong_settings_and_tables_are_one_plain_sentence(tmp_path: Path) -> None:
    broken = tmp_path / "models.toml"
    broken.write_text("[tiny]\ntitle = \n")
    for environment, words in (
        ({"MERALION_PRT": "1"}, "MERALION_PORT"),
        ({"MERALION_MODELS": str(broken)}, "line 2"),
        ({"MERALION_HOST": "203.0.113.1"}, "MERALION_HOST"),
    ):
        failed = run(**environment)
        assert failed.returncode == 2
        assert words in failed.stderr
        assert len(failed.stderr.splitlines()) == 1


def test_the_log_tells_what_happened_and_nothing_of_what_was_said(launch: Launch) -> None:
    process = launch()
    secret = "Tell me about the durian"
    headers = {"authorization": "Bearer key-very-secret", "x-request-id": "req-of-mine"}
    process.client.post("/v1/files", files={"file": ("my-diary.wav", clips.plain_wav())})
    process.client.post("/v1/files", files={"file": ("my-diary.wav", b"only words " * 9)})
    process.client.post(PATH, json=question(secret, temperature=0), headers=headers)
    process.client.post(PATH, json=question(secret, **{secret: 1}), headers=headers)
    process.client.post(PATH, content=secret.encode(), headers={"content-type": "application/json"})
    process.client.get(f"/{secret}")
    process.popen.send_signal(signal.SIGTERM)
    process.popen.wait(10)
    events = process.events()
    assert all({"ts", "level", "event"} <= set(event) for event in events)
    asked = next(event for event in events if event.get("request_id") == "req-of-mine")
    assert (asked["route"], asked["status"], asked["model"], asked["cache"]) == (PATH, 200, "tiny", "miss")
    assert asked["ms"] > 0
    assert any(event.get("code") == "audio_not_audio" for event in events)
    log = process.log.read_text()
    for word in (secret, "durian", "diary", "key-very-secret", VISITOR["x-meralion-visitor"]):
        assert word not in log


def test_input_of_every_size_costs_little_memory(launch: Launch) -> None:
    process = launch()
    engine_pid(process)
    before = _peak_mib(process.popen.pid)
    bomb = clips.flac_of_silence(3)
    wav = clips.wav(bytes(24 * 2**20))
    stereo = clips.wav(clips.pcm16(clips.tone(130, 48_000)).ljust(24 * 2**20, b"\1"), rate=48_000, channels=2)
    inline = {
        "type": "input_audio",
        "input_audio": {"data": base64.b64encode(stereo).decode(), "format": "wav"},
    }
    for _ in range(3):
        too_large = process.client.post("/v1/files", files={"file": ("a.wav", bytes(30 * 2**20))})
        assert error_of(too_large, 413)["code"] == "audio_too_large"
        for data in (bomb, wav):
            refused = process.client.post("/v1/files", files={"file": ("a", data)})
            assert error_of(refused, 400)["code"] == "audio_too_long"
        assert process.client.post("/v1/files", files={"file": ("a.wav", stereo)}).status_code == 200
        assert process.client.post(PATH, json=question("What?", inline)).status_code == 200
        json_headers = {"content-type": "application/json"}
        broken = process.client.post(PATH, content=b"[" + b"1," * (16 * 2**20), headers=json_headers)
        assert error_of(broken, 400)["code"] == "json_invalid"
    assert _peak_mib(process.popen.pid) - before < 200
    assert engine_pid(process) > 0


def _peak_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def test_streams_are_told_that_the_server_stops(launch: Launch) -> None:
    process = launch("--slow", MERALION_SHUTDOWN_GRACE_S="0.3")
    with process.client.stream("POST", PATH, json=question(stream=True)) as response:
        lines = response.iter_lines()
        next(line for line in lines if '"content"' in line)
        process.popen.send_signal(signal.SIGTERM)
        last = [line for line in lines if line][-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "stopping"
    process.popen.wait(10)
