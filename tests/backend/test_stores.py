"""What keeps answers longer than memory is bounded and private, and whatever happens to it costs no more."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.errors import StartError
from backend.redis_link import RedisLink
from backend.settings import Settings
from backend.stores import StoreError
from backend.stores.answer_file import AnswerFile
from backend.stores.choice import open_store
from backend.stores.redis import RedisStore
from backend.stores.sqlite import SqliteStore
from tests.backend.redis_server import RedisServer, redis_server

ROOT = Path(__file__).parents[2]
MIB = 2**20


def store(path: Path, max_bytes: int = 64 * MIB, max_age_s: float = 60, **options: Any) -> AnswerFile:
    return AnswerFile(path, max_bytes, max_age_s, **options)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "answers.sqlite"


def child(code: str, *arguments: object, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    command = [*before, sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def is_sound(path: Path) -> bool:
    with sqlite3.connect(path) as db:
        return bool(db.execute("PRAGMA integrity_check").fetchone()[0] == "ok")


# A file of our own


def test_answers_outlive_the_controller(path: Path) -> None:
    first = store(path)
    first.put("a", b"one")
    first.put("a", b"two")
    first.put("b", b"three")
    first.drop("b")
    first.close()
    second = store(path)
    assert (second.get("a"), second.get("b"), second.get("c")) == (b"two", None, None)


def test_only_the_user_can_read_file_and_folder(path: Path) -> None:
    files = store(path)
    files.put("a", b"one")
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    names = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert names == {path.name: 0o600, f"{path.name}-wal": 0o600, f"{path.name}-shm": 0o600}


def test_the_file_is_bounded_and_forgets_what_was_used_longest_ago(path: Path) -> None:
    files = store(path, MIB)
    for number in range(300):
        files.put(str(number), bytes(10_000))
        assert files.get("0")
        files.touch("0")
    assert files.get("299")
    assert files.get("1") is None
    assert 60 < sum(files.get(str(number)) is not None for number in range(300)) < 105
    files.put("too large", bytes(MIB))
    assert files.get("too large") is None
    files.close()
    assert path.stat().st_size <= 1.1 * MIB


def test_a_smaller_bound_gives_room_back(path: Path) -> None:
    large = store(path, 4 * MIB)
    for number in range(350):
        large.put(str(number), bytes(10_000))
    large.close()
    assert path.stat().st_size > 3 * MIB
    small = store(path, MIB)
    for number in range(40):
        small.put(f"new {number}", bytes(10_000))
    small.close()
    assert path.stat().st_size <= 1.1 * MIB


def test_answers_grow_old_and_go_from_the_file(path: Path) -> None:
    now = 1_000_000.0
    files = store(path, max_age_s=60, clock=lambda: now)
    for number in range(20):
        files.put(str(number), b"old")
    now += 59
    assert files.get("3")
    now += 2
    assert files.get("3") is None
    files.put("new", b"new")
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT id FROM answers").fetchall() == [("new",)]


def test_a_clock_that_jumps_costs_answers_at_most(path: Path) -> None:
    now = 1_000_000.0
    files = store(path, max_age_s=60, clock=lambda: now)
    files.put("a", b"one")
    now += 10 * 365 * 86_400
    assert files.get("a") is None
    files.put("from the future", b"two")
    assert files.get("from the future")
    now = 1_000_010.0
    assert files.get("from the future") is None
    files.put("b", b"three")
    assert files.get("b") == b"three"
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT id FROM answers").fetchall() == [("b",)]


def test_a_file_of_another_version_is_emptied(path: Path) -> None:
    old = store(path)
    old.put("a", b"one")
    old.close()
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE answers RENAME COLUMN data TO words")
        db.execute("PRAGMA user_version = 99")
    new = store(path)
    assert new.get("a") is None
    new.put("a", b"two")
    assert new.get("a") == b"two"


# Damage


def _scribbled(at: float) -> Callable[[bytes], bytes]:
    def damage(data: bytes) -> bytes:
        start = int(at * len(data))
        return data[:start] + os.urandom(6_000) + data[start + 6_000 :]

    return damage


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda data: b"",
    "header alone": lambda data: data[:100],
    "a few bytes": lambda data: data[:7],
    "first page alone": lambda data: data[:4_096],
    "half": lambda data: data[: len(data) // 2],
    "half a page": lambda data: data[: len(data) // 2 + 2_000],
    "no database": lambda data: b"dear diary, " * 1_000,
    "zeros": lambda data: bytes(len(data)),
    "scribbled begin": _scribbled(0),
    "scribbled second page": lambda data: data[:4_096] + os.urandom(4_096) + data[8_192:],
    "scribbled middle": _scribbled(0.5),
}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("while_open", [False, True])
def test_a_damaged_file_costs_answers_at_most(path: Path, how: str, while_open: bool) -> None:
    files = store(path)
    for number in range(40):
        files.put(str(number), bytes([number]) * 5_000)
    files.close()
    if while_open:
        files.open()
    path.write_bytes(DAMAGE[how](path.read_bytes()))
    if not while_open:
        files = store(path)
    wrong = 0
    for number in range(40):  # nothing but StoreError may be raised
        with contextlib.suppress(StoreError):
            found = files.get(str(number))
            # What the file says is sealed, so it need not be right; the cache finds out.
            wrong += found not in (None, bytes([number]) * 5_000)
        with contextlib.suppress(StoreError):
            files.put(f"new {number}", b"new")
    assert wrong <= 2
    assert files.get("new 39") == b"new"
    files.close()
    again = store(path)
    assert again.get("new 39") == b"new"


def test_a_broken_file_is_moved_aside_with_its_journal_and_told_in_the_log(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(b"dear diary, " * 1_000)
    path.with_name("answers.sqlite-wal").write_bytes(b"x" * 5_000)
    files = store(path)
    files.put("a", b"one")
    files.close()
    aside = path.with_name("answers.sqlite.broken")
    assert aside.read_bytes() == b"dear diary, " * 1_000
    (record,) = [record for record in caplog.records if record.message == "answer file begun anew"]
    assert str(aside) in record.fields["reason"]  # type: ignore[attr-defined]
    # It happens again: what was moved aside may be somebody's, so it is not written over.
    path.write_bytes(b"another diary, " * 1_000)
    with pytest.raises(StoreError, match=r"answers\.sqlite\.broken is in the way"):
        files.put("a", b"one")
    assert aside.read_bytes() == b"dear diary, " * 1_000
    assert path.read_bytes() == b"another diary, " * 1_000


def test_a_broken_file_of_ours_is_replaced_any_number_of_times(path: Path) -> None:
    for _ in range(3):
        files = store(path)
        files.put("a", bytes(50_000))
        files.close()
        path.write_bytes(path.read_bytes()[:9_000])
        files = store(path)
        assert files.get("a") is None
        files.close()
    assert sorted(file.name for file in path.parent.iterdir() if "-" not in file.name) == [
        "answers.sqlite",
        "answers.sqlite.broken",
    ]


# What is not ours


def refused(path: Path, match: str) -> None:
    files = store(path)
    for _ in range(2):  # the second time it is not tried again
        with pytest.raises(StoreError, match=match):
            files.put("a", b"one")
        with pytest.raises(StoreError, match=match):
            files.get("a")


def test_another_programs_database_is_never_touched(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE answers (mine TEXT)")
        db.execute("INSERT INTO answers VALUES ('precious')")
        db.execute("INSERT INTO answers VALUES (?)", ("x" * 50_000,))
    db.close()
    before = path.read_bytes()
    refused(path, "another program's database.*MERALION_CACHE_FILE")
    assert path.read_bytes() == before
    path.write_bytes(before[: len(before) // 2])  # broken, and still not ours to move
    refused(path, "another program's database")
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == before[: len(before) // 2]


def test_what_is_no_file_is_left_alone(path: Path, tmp_path: Path) -> None:
    path.mkdir(parents=True)
    refused(path, "is not a file")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    refused(fifo, "is not a file")
    refused(Path("/dev/null"), "is not a file")
    (tmp_path / "file").write_text("a file where a folder should be")
    refused(tmp_path / "file" / "answers.sqlite", "kept in memory alone")
    refused(Path("/proc/meralion/answers.sqlite"), "kept in memory alone")


def test_a_file_in_place_of_what_was_not_ours_is_found_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.mkdir(parents=True)
    files = store(path)
    with pytest.raises(StoreError):
        files.put("a", b"one")
    path.rmdir()
    with pytest.raises(StoreError):
        files.put("a", b"one")
    later = time.monotonic() + 11
    monkeypatch.setattr(time, "monotonic", lambda: later)
    files.put("a", b"one")
    assert files.get("a") == b"one"


READ_ONLY = """
import os, sys
from pathlib import Path
from backend.stores import StoreError
from backend.stores.answer_file import AnswerFile
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)  # root may write everywhere
for name in ("there/answers.sqlite", "empty/answers.sqlite"):
    files = AnswerFile(Path(sys.argv[1]) / name, 2**20, 60)
    try:
        files.put("b", b"two")
        print("written")
    except StoreError as error:
        print("refused")
    try:
        print(files.get("a"))
    except StoreError as error:
        print("nothing")
"""


def test_a_read_only_folder_costs_the_file_alone() -> None:
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name), Path(name) / "there", Path(name) / "empty"]
        there = folders[1] / "answers.sqlite"
        files = store(there)
        files.put("a", b"one")
        files.close()
        folders[2].mkdir()
        there.chmod(0o444)
        for folder in folders:
            folder.chmod(0o555)  # another user may come here
        try:
            lines = said(child(READ_ONLY, name)).split("\n")
        finally:
            for folder in folders:
                folder.chmod(0o755)
    assert (lines[0], lines[2], lines[3]) == ("refused", "refused", "nothing")
    assert lines[1] in ("nothing", "b'one'")


# While it runs


@pytest.mark.parametrize("how", ["deleted", "folder deleted", "replaced", "moved away"])
def test_a_file_that_goes_while_it_is_used_is_made_again(path: Path, how: str) -> None:
    files = store(path)
    files.put("a", b"one")
    if how == "deleted":
        for file in path.parent.iterdir():
            file.unlink()
    elif how == "folder deleted":
        for file in path.parent.iterdir():
            file.unlink()
        path.parent.rmdir()
    elif how == "moved away":
        path.rename(path.with_name("elsewhere"))
    else:
        other = store(path.with_name("other"))
        other.put("b", b"two")
        other.close()
        path.with_name("other").replace(path)
    files.put("c", b"three")
    assert files.get("c") == b"three"
    files.close()
    assert store(path).get("c") == b"three"


WRITER = """
import sys
from pathlib import Path
from backend.stores import StoreError
from backend.stores.answer_file import AnswerFile
files = AnswerFile(Path(sys.argv[1]), 2**30, 60)
for number in range(int(sys.argv[3])):
    try:
        files.put(f"{sys.argv[2]} {number}", bytes(3_000))
    except StoreError:
        continue  # the other was writing all the time
    print(number, flush=True)
"""


def test_two_controllers_share_one_file(path: Path) -> None:
    writers = {name: child(WRITER, path, name, 300) for name in "ab"}
    written = [f"{name} {number}" for name, writer in writers.items() for number in said(writer).split()]
    files = store(path)
    assert len(written) > 500
    assert all(files.get(row) for row in written)
    files.close()
    assert is_sound(path)


def test_a_controller_killed_while_it_writes_loses_nothing_that_was_written(path: Path) -> None:
    for name in "abc":
        writer = child(WRITER, path, name, 1_000_000)
        assert writer.stdout
        written = [int(writer.stdout.readline()) for _ in range(150)]
        writer.kill()
        written += [int(line) for line in writer.communicate()[0].split("\n") if line]
        files = store(path)
        assert all(files.get(f"{name} {number}") for number in written)
        files.put("after", b"it goes on")
        files.close()
        assert is_sound(path)


def _with_a_small_disk(folder: Path) -> tuple[list[str], list[str]]:
    """A command that mounts one for its children alone, where the system lets us; else a bound on files."""
    script = 'mount -t tmpfs -o size=2m none "$0" && exec "$@"'
    mounting = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, str(folder)]
    try:
        may = subprocess.run([*mounting, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        may = False
    return (mounting, []) if may else ([], ["600000"])


@pytest.mark.parametrize("kind", ["disk", "files"])
def test_a_full_disk_stops_no_answer_and_is_used_again_when_there_is_room(tmp_path: Path, kind: str) -> None:
    before, bound = _with_a_small_disk(tmp_path) if kind == "disk" else ([], ["600000"])
    command = [*before, sys.executable, "-m", "tests.backend.full_disk", str(tmp_path), *bound]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["kept"] > 5
    assert told["in_memory"]
    assert told["on_disk"] == told["kept"]
    assert told["later"] == ["later"]


# Off the event loop


def test_a_file_that_is_closed_says_so(path: Path) -> None:
    async def check() -> None:
        files = SqliteStore(store(path))
        await files.start()
        assert await files.put("a", b"one")
        assert not await files.put("too large", bytes(33 * MIB))
        assert await files.get("a") == b"one"
        await files.drop("a")
        assert await files.get("a") is None
        await files.close()
        for work in (files.get("a"), files.put("a", b"one"), files.drop("a"), files.start()):
            with pytest.raises(StoreError):
                await work

    asyncio.run(check())


# Redis


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


def test_redis_keeps_answers_for_all_controllers_until_they_are_old(redis: RedisServer) -> None:
    async def check() -> None:
        links = [RedisLink(redis.secret_url, "test:") for _ in range(2)]
        one, two = (RedisStore(link, max_age_s=60) for link in links)
        assert await one.put("row", b"\x00sealed\xff")
        assert await two.get("row") == b"\x00sealed\xff"
        with redis.client() as client:
            assert client.keys() == [b"test:answer:row"]
            assert 58_000 < client.pttl("test:answer:row") <= 60_000
        await two.drop("row")
        assert await one.get("row") is None
        assert not await one.put("row", bytes(3 * MIB))
        assert await one.get("row") is None
        with redis.client() as client:
            client.config_set("maxmemory", 1)
        with pytest.raises(StoreError, match="refuses"):
            await one.put("row", b"sealed")
        redis.kill()
        with pytest.raises(StoreError, match="away"):
            await one.get("row")
        assert await one.get("row") is None  # it is known to be away, so it is not asked
        assert not await one.put("row", b"nothing happens")
        for link in links:
            await link.close()

    asyncio.run(check())


# The choice


def chosen(tmp_path: Path, link: RedisLink | None = None, **settings: Any) -> str | None:
    found = open_store(Settings(cache_file=tmp_path / "a.sqlite", **settings), link)
    return type(found).__name__ if found else None


def test_the_settings_choose_the_store(
    tmp_path: Path, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chosen(tmp_path) == "SqliteStore"
    assert chosen(tmp_path, cache_store="none") is None
    assert chosen(tmp_path, cache_max_bytes=0) is None
    with pytest.raises(StartError, match="MERALION_REDIS_URL"):
        chosen(tmp_path, cache_store="redis")
    link = RedisLink(redis.secret_url, "test:")
    assert chosen(tmp_path, link) == "RedisStore"
    assert chosen(tmp_path, link, cache_store="sqlite") == "SqliteStore"
    monkeypatch.setenv("MERALION_CACHE_STORE", "sqlite")
    assert chosen(tmp_path, link) == "SqliteStore"
    assert list(tmp_path.iterdir()) == []  # nothing is opened before the start
