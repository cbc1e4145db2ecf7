"""What ships of a small audio LLM made a whole checkpoint, in an environment without torch."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from model.checkpoints.__main__ import main
from model.checkpoints.assemble import assembled
from model.checkpoints.inspect import inspect
from model.embedded.weights import WeightsError
from model.mini import audio_llm, shipped
from model.mini.tensors import ModelError, read_safetensors
from tests.model import mini


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mini.ship(tmp_path_factory.mktemp("shipped"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_it_is_whole_and_holds_what_the_embedded_engine_loads(folder: Path, cache: Path) -> None:
    made = assembled(folder, cache)
    report = inspect(made)
    assert report.problems == []
    assert report.layout and report.layout.id == "open"
    found = read_safetensors(made / "model.safetensors")
    whole = audio_llm.read(folder, cache)
    for prefix, tensors in (("speech_encoder.", whole.parts.encoder), ("text_decoder.", whole.parts.decoder)):
        for name, value in tensors.all():
            assert np.array_equal(found.pop(prefix + name), value), name
    own = {name for name, _ in whole.parts.own.all() if not name.startswith("text_decoder.")}
    assert found.keys() == own


def test_it_is_made_once_and_anew_when_it_is_damaged(folder: Path, cache: Path) -> None:
    told: list[Path] = []
    made = assembled(folder, cache)
    assert assembled(folder, cache, told.append) == made and told == []
    half = made.parent / ".left"
    half.mkdir()
    long_ago = time.time() - 7_200
    os.utime(half, (long_ago, long_ago))
    weights = made / "model.safetensors"
    with weights.open("r+b") as file:
        file.seek(-1_000, os.SEEK_END)
        file.write(b"\xff")
    assert inspect(made).problems == []  # what only its hash shows
    assert assembled(folder, cache, told.append) == made
    assert told == [made]
    assert assembled(folder, cache, told.append) == made and told == [made]
    assert list(made.parent.iterdir()) == [made]


def test_other_parts_make_another(folder: Path, cache: Path, tmp_path: Path) -> None:
    other = mini.ship(tmp_path / "other")
    config = (other / shipped.CONFIG).read_text("utf-8").replace('"most_tokens": 8', '"most_tokens": 9')
    (other / shipped.CONFIG).write_text(config, "utf-8")
    with pytest.raises(Stopped):  # it would be made
        assembled(other, cache, _stop)
    assert assembled(folder, cache, _stop).is_dir()


class Stopped(Exception):
    """Enough was seen."""


def _stop(_: Path) -> None:
    raise Stopped


def test_a_cache_that_cannot_be_written_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "assembled").write_text("a file")
    with pytest.raises(WeightsError, match=r"cannot be written to .* Free some space, or set XDG_CACHE_HOME"):
        assembled(folder, tmp_path)


def test_what_ships_nothing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError, match=r"config.json cannot be read: No such file"):
        assembled(tmp_path, tmp_path)
    assert main(["assemble", str(tmp_path / "none"), str(tmp_path / "out")]) == 2
    assert "config.json cannot be read" in capsys.readouterr().err


def test_the_command_writes_it_where_it_is_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["assemble", str(folder), str(tmp_path / "out")]) == 0
    assert "It can be served." in capsys.readouterr().out
