"""Killed, short of a worker, short of room: a preparation ends with the bytes of one that was left alone."""

from __future__ import annotations

import errno
import random
import resource
from pathlib import Path

import pytest

from tests.training import corpus
from tests.training.runs import DEADLINE, contents, kill, lose_a_worker, on_ray, reach, start
from training.data.files import trouble


@pytest.mark.slow
def test_killed_twice_and_a_worker_lost_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    delivered, whole, broken = tmp_path / "delivered", tmp_path / "whole/corpus", tmp_path / "broken/corpus"
    corpus.read_speech(delivered, speakers=30, each=10)
    corpus.conversations(delivered, count=6)
    assert start(whole, delivered, "processes").wait(DEADLINE) == 0
    expected = contents(whole)
    assert {
        "index.parquet",
        "card.md",
        "train/train-00000.parquet",
        "test/test-00000.parquet",
    } <= expected.keys()

    chance = random.Random()
    with on_ray(broken, delivered) as first:
        reach(first, broken / "work/units", chance.randint(1, 15))
        kill(first)
    with on_ray(broken, delivered) as second:
        reach(second, broken / "work/shards", chance.randint(1, 3))
        kill(second)
    assert not (broken / "report.json").exists()
    for unit in sorted((broken / "work/units").glob("*.parquet"))[::2]:
        unit.unlink()
    with on_ray(broken, delivered) as third:
        unit_name = lose_a_worker(third, broken / "work/at")
        assert third.wait(DEADLINE) == 0, unit_name

    assert contents(broken) == expected
    assert not list(broken.rglob("*.part"))


def test_where_there_is_no_room_it_is_said_in_words_and_the_next_run_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    delivered, out = tmp_path / "delivered", tmp_path / "run/corpus"
    corpus.read_speech(delivered, speakers=2, each=4)
    corpus.conversations(delivered, count=1, turns=30)
    run = start(out, delivered, "processes", cpus=1)
    resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (600_000, 600_000))
    assert run.wait(DEADLINE) == 1
    said = capfd.readouterr().err
    assert "nsc-3-3000" in said and "could not be written: File too large" in said and "Traceback" not in said
    assert not list(out.rglob("*.part")) and not (out / "report.json").exists()
    done = {path: path.stat().st_mtime_ns for path in (out / "work/units").iterdir()}
    assert len(done) == 2
    assert start(out, delivered, "processes", cpus=1).wait(DEADLINE) == 0
    assert all(path.stat().st_mtime_ns == time for path, time in done.items())


def test_a_full_disk_is_called_that() -> None:
    said = trouble(Path("a.parquet"), OSError(errno.ENOSPC, "No space left on device"))
    assert said.startswith("The disk is full: a.parquet") and "it goes on from there" in said
