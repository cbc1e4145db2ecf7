"""The controller that the pages start for themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ui.local_backend import LocalBackend
from ui.settings import ROOT
from ui.wire import ClientError

Script = Callable[[str], tuple[str, ...]]

READY = """
import json, os, sys
with open(__file__ + ".starts", "a") as starts:
    print(os.getpid(), file=starts)
print(json.dumps({"event": "ready", "host": "127.0.0.1", "port": os.getpid()}), flush=True)
sys.stdin.read()
"""


def starts(command: tuple[str, ...]) -> list[int]:
    """The process ids of every start of the stand-in."""
    file = Path(command[1] + ".starts")
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def wait_gone(pid: int, limit_s: float = 5.0) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            return True
        time.sleep(0.02)
    return False


def test_many_sessions_at_once_start_one(script: Script, tmp_path: Path):
    backend = LocalBackend(tmp_path, 10, script(READY))
    urls: list[str] = []
    threads = [threading.Thread(target=lambda: urls.append(backend.url())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(urls) == 8
    assert len(set(urls)) == 1
    assert len(starts(script(READY))) == 1
    backend.close()


def test_one_that_died_is_started_again_at_the_next_use(script: Script, tmp_path: Path):
    command = script(READY)
    backend = LocalBackend(tmp_path, 10, command)
    first = backend.url()
    os.kill(starts(command)[0], signal.SIGKILL)
    deadline = time.monotonic() + 5
    while backend.url() == first and time.monotonic() < deadline:
        time.sleep(0.02)
    assert backend.url() != first
    assert len(starts(command)) == 2
    backend.close()
    assert all(wait_gone(pid) for pid in starts(command))


def test_one_that_cannot_start_says_why(script: Script, tmp_path: Path):
    text = 'import sys; print(\'{"level": "info"}\', file=sys.stderr)\n'
    text += 'print("Port 8000 is taken. Choose another.", file=sys.stderr); sys.exit(2)'
    with pytest.raises(ClientError, match=r"could not start. Port 8000 is taken. Choose another."):
        LocalBackend(tmp_path, 10, script(text)).url()


def test_one_that_never_gets_ready_is_given_up_and_ended(script: Script, tmp_path: Path):
    command = script(READY.replace("print(json", "0 and print(json"))
    with pytest.raises(ClientError, match="not ready within 1 seconds"):
        LocalBackend(tmp_path, 1, command).url()
    assert wait_gone(starts(command)[0])


def test_a_killed_server_leaves_nothing_behind(script: Script, tmp_path: Path):
    command = script(READY)
    text = (
        "import sys, pathlib, subprocess; from ui.local_backend import LocalBackend\n"
        f"LocalBackend(pathlib.Path({str(tmp_path)!r}), 10, {command!r}).url()\n"
        "other = subprocess.Popen(['sleep', '30'])\n"  # a child that must not keep the pipe open
        "print(other.pid, flush=True); sys.stdin.read()"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", text], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    other = int(server.stdout.readline())
    server.kill()
    server.wait()
    try:
        assert wait_gone(starts(command)[0])
    finally:
        os.kill(other, signal.SIGKILL)


def test_the_real_controller_starts_from_any_folder(environment, monkeypatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    registry = tmp_path / "models.toml"
    registry.write_text("")
    environment.setenv("MERALION_MODELS", str(registry))
    backend = LocalBackend(ROOT, 30)
    try:
        assert backend.url().startswith("http://127.0.0.1:")
    except ClientError as error:  # an empty registry may be refused, but in words
        assert "No module named" not in error.message
    finally:
        backend.close()
