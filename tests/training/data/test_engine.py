"""Work on all cores: results, errors in words, and workers that die."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from training.data.engine import Engine, engine
from training.data.settings import Machine
from training.errors import ConfigError, DataError


def double(offset: int, piece: dict[str, Any]) -> dict[str, Any]:
    return {"name": piece["name"], "number": 2 * piece["number"] + offset}


def fail(piece: dict[str, Any]) -> dict[str, Any]:
    if piece["name"] == "bad":
        raise DataError("The disk is full.")
    return {}


def die(piece: dict[str, Any]) -> dict[str, Any]:
    if piece["name"] == "bad":
        os.kill(os.getpid(), signal.SIGKILL)
    return {}


def check(hands: Engine) -> None:
    pieces = [{"name": f"p{n}", "number": n} for n in range(7)]
    assert sorted(result["number"] for result in hands.each(partial(double, 1), pieces)) == [
        1,
        3,
        5,
        7,
        9,
        11,
        13,
    ]
    assert list(hands.each(partial(double, 1), [])) == []
    with pytest.raises(DataError, match="The disk is full"):
        list(hands.each(fail, [*pieces, {"name": "bad"}]))
    with pytest.raises(DataError, match="bad") as caught:
        list(hands.each(die, [*pieces, {"name": "bad"}]))
    assert "`skip`" in str(caught.value)


def test_processes(tmp_path: Path) -> None:
    check(engine(Machine("processes", cpus=1), tmp_path))


@pytest.mark.slow
def test_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    try:
        check(engine(Machine("ray", cpus=2), tmp_path))
    finally:
        ray.shutdown()


def test_a_cluster_that_is_not_there_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Ray could not be started"):
        engine(Machine("ray", address="127.0.0.1:9"), tmp_path)
