"""However a server ends, its processes and its shared memory are gone, and the reason is told."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model.serve.server import reason_in
from tests.serve.fake_server import LOG
from tests.speech import ROOT

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc and /dev/shm")
Supervisor = subprocess.Popen[str]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Supervisor]]:
    started: list[Supervisor] = []

    def run(*arguments: str) -> Supervisor:
        with socket.socket() as free, (tmp_path / "log").open("w") as log:
            free.bind(("127.0.0.1", 0))
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.serve.supervise", str(free.getsockname()[1]), *arguments],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def held(tmp_path: Path) -> tuple[Path, int]:
    """The segment and the child that the server has told of in its log."""
    found = re.search(r"holds (\w+) (\d+)", (tmp_path / "log").read_text())
    assert found
    return Path("/dev/shm") / found[1], int(found[2])


def ended(pid: int) -> bool:
    try:
        return "(zombie)" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_even_stubborn_processes_and_their_shared_memory(
    start: Callable[..., Supervisor], tmp_path: Path, number: signal.Signals
) -> None:
    process = start()
    assert process.stdout and process.stdout.readline() == "ready\n"
    segment, child = held(tmp_path)
    assert segment.exists() and not ended(child)
    others = Path("/dev/shm") / f"{segment.name}-of-somebody-else"
    others.touch()
    try:
        process.send_signal(number)
        assert process.wait(timeout=20) == 0
        assert ended(child) and not segment.exists()
        assert others.exists()
    finally:
        others.unlink()


def test_it_ends_with_its_parent(start: Callable[..., Supervisor], tmp_path: Path) -> None:
    process = start()
    assert process.stdout and process.stdout.readline() == "ready\n"
    segment, child = held(tmp_path)
    assert process.stdin
    process.stdin.close()
    process.stdin = None
    assert process.wait(timeout=20) == 0
    assert ended(child) and not segment.exists()


def test_a_server_that_is_killed_is_reported_and_leaves_nothing(
    start: Callable[..., Supervisor], tmp_path: Path
) -> None:
    process = start()
    assert process.stdout and process.stdout.readline() == "ready\n"
    segment, child = held(tmp_path)
    server = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
    os.kill(server, signal.SIGKILL)
    assert process.stdout.read().startswith("The vLLM server was killed by SIGKILL, as happens when memory")
    assert process.wait(timeout=20) == 1
    assert ended(child) and not segment.exists()


def test_a_server_that_cannot_start_is_reported_with_its_own_reason(
    start: Callable[..., Supervisor], tmp_path: Path
) -> None:
    process = start("--die")
    assert process.stdout and process.stdout.read() == (
        "The vLLM server ended with exit code 1. Its last words: The tokenizer has no <SpeechHere>.\n"
    )
    assert process.wait(timeout=20) == 1
    assert ended(held(tmp_path)[1])


def test_the_reason_is_the_error_that_says_something() -> None:
    assert reason_in(LOG.splitlines()) == "The tokenizer has no <SpeechHere>."
    assert reason_in(["starting", "cannot open the disk", ""]) == "cannot open the disk"
    assert reason_in(["pydantic.ValidationError: two values", "RuntimeError: "]) == "two values"
    assert reason_in([]) == ""
