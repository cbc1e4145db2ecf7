"""10. A half-written cache, a full disk and many visitors: a controller as a process, and its file."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.backend.asking import CHAT, until
from tests.backend.conftest import Start, question, row
from tests.backend.controller_process import begun, ready
from tests.backend.fake_engine import FakeEngine, recital, recites
from tests.backend.test_start import Process

LENGTH = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept"


@contextlib.contextmanager
def controller(folder: Path, engine: FakeEngine, **settings: Any) -> Iterator[Process]:
    """A process whose answers are kept in the folder."""
    (folder.parent / "process.toml").write_text(row([engine.url]))
    chosen = {"port": 0, "models": folder.parent / "process.toml", "cache_file": folder / "answers.sqlite"}
    log = folder.parent / "log"
    with contextlib.ExitStack() as stack:
        yield ready(stack, begun(stack, log, **chosen, **settings), log)


def ask(client: httpx.Client, number: int) -> str:
    """Ask one of many questions, whose answer must be right; say what the cache did."""
    text = f"What is said in clip {number}?"
    response = client.post(CHAT, json=question(text, temperature=0))
    assert response.status_code == 200, response.text
    assert response.json()["choices"][0]["message"]["content"] == "".join(recital(text, LENGTH))
    return response.headers["x-meralion-cache"]


def cache(process: Process) -> dict[str, Any]:
    """What the status says of kept answers."""
    told: dict[str, Any] = process.client.get("/v1/status").json()["cache"]
    return told


@pytest.mark.usefixtures("patient_with_store")
@pytest.mark.parametrize(
    ("name", "share"),
    [(name, share) for name in ("answers.sqlite-wal", "answers.sqlite") for share in (1.0, 0.5, 0.0)],
)
def test_10_restart_with_a_half_written_cache(
    start: Start, engine: FakeEngine, folder: Path, name: str, share: float
) -> None:
    """Killed while it wrote, and only a part of a file reached the disk: none is wrong, and none fails."""
    engine.default = recites(length=LENGTH)
    with controller(folder, engine) as process:
        for number in range(40):
            assert ask(process.client, number) == "miss"
        process.popen.kill()
        process.popen.wait(10)
    file = folder / name
    assert file.stat().st_size
    os.truncate(file, int(share * file.stat().st_size))
    client = start(row([engine.url]), cache_file=folder / "answers.sqlite")
    found = [ask(client, number) for number in range(40)]
    if share == 1:
        assert found.count("hit") > 20  # all but the last few that were on their way
    until(lambda: client.get("/v1/status").json()["cache"]["written"] >= found.count("miss"))
    again = start(row([engine.url]), cache_file=folder / "answers.sqlite")
    assert [ask(again, number) for number in range(40)] == ["hit"] * 40


@pytest.mark.usefixtures("patient_with_store")
def test_10_disk_full(start: Start, engine: FakeEngine, folder: Path) -> None:
    """Answers go on, from memory too; when there is room again they are kept again."""
    engine.default = recites(length=LENGTH)
    with controller(folder, engine) as process:
        assert ask(process.client, 0) == "miss"
        until(lambda: cache(process)["written"] == 1)
        used = max(file.stat().st_size for file in folder.iterdir())
        pid = process.popen.pid
        _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE, (used, resource.RLIM_INFINITY))
        assert [ask(process.client, number) for number in range(1, 30)] == ["miss"] * 29
        until(lambda: cache(process)["store_errors"])
        until(lambda: cache(process)["written"] + cache(process)["dropped"] == 30)
        assert [ask(process.client, number) for number in range(30)] == ["hit"] * 30
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, most))
        written = cache(process)["written"]
        assert ask(process.client, 99) == "miss"
        until(lambda: cache(process)["written"] > written)
        events = [event["event"] for event in process.events()]
        assert events.count("answer store fails") == 1
        assert events.count("answer store works again") == 1
        process.popen.kill()
        process.popen.wait(10)
    shutil.copytree(folder, folder.parent / "after")
    client = start(row([engine.url]), cache_file=folder.parent / "after" / "answers.sqlite")
    assert [ask(client, number) for number in (0, 99)] == ["hit", "hit"]


def test_10_memory_does_not_grow_with_the_number_of_questions(engine: FakeEngine, folder: Path) -> None:
    """A short soak; benchmarks/soak.py is the long one."""
    engine.default = recites(length=LENGTH)
    with controller(folder, engine, cache_max_bytes=500_000) as process:
        for number in range(300):
            ask(process.client, number)
        before = _held_mib(process.popen.pid)
        for number in range(300, 1_000):
            ask(process.client, number)
        assert _held_mib(process.popen.pid) - before < 10
        status = process.client.get("/v1/status").json()
        assert status["cache"]["bytes"] <= 500_000
        assert (status["flights"]["open"], status["queue"]["busy"]) == (0, 0)


def _held_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024
