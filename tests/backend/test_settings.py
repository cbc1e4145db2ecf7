"""A wrong setting stops the start, in words that say which, where, and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from backend import settings
from backend.errors import StartError
from backend.registry import Row, Sampling


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_defaults_listen_on_this_machine_only() -> None:
    assert (settings.load().host, settings.load().port) == ("127.0.0.1", 8000)


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "meralion.toml").write_text("port = 9001\nsilence_timeout_s = 5\n")
    monkeypatch.setenv("MERALION_PORT", "9002")
    assert (settings.load().port, settings.load().silence_timeout_s) == (9002, 5.0)


def test_another_file_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.toml").write_text("port = 9003\n")
    monkeypatch.setenv("MERALION_CONFIG", "other.toml")
    assert settings.load().port == 9003
    monkeypatch.setenv("MERALION_CONFIG", "missing.toml")
    with pytest.raises(StartError, match="no such file"):
        settings.load()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("MERALION_PRT", "1", "MERALION_PRT.*Did you mean `MERALION_PORT`"),
        ("MERALION_PORT", "many", "`port` must be a whole number.*MERALION_PORT"),
        ("MERALION_PORT", "70000", "at most 65,535"),
        ("MERALION_CACHE_MAX_AGE_S", "0", "more than 0"),
    ],
)
def test_wrong_names_and_values(name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(StartError, match=words):
        settings.load()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prot = 1\n", "`prot` is not known here.*Did you mean `port`"),
        ("port = \n", "meralion.toml is not valid TOML.*line 1"),
        ("[server]\nport = 1\n", "`server` is not known here"),
    ],
)
def test_wrong_files(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "meralion.toml").write_text(text)
    with pytest.raises(StartError, match=words):
        settings.load()


def test_the_other_services_settings_are_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MERALION_ENGINE_THREADS", "MERALION_UI_TITLE", "MERALION_BACKEND_URL", "MERALION_KIOSK"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("MERALION_EXIT_WITH_PARENT", "1")
    settings.load()


def test_the_readme_names_every_setting_and_every_field_of_a_row() -> None:
    readme = (Path(settings.__file__).parent / "README.md").read_text("utf-8")
    names = [*settings.Settings.model_fields, *(set(Row.model_fields) - {"id"}), *Sampling.model_fields]
    assert [name for name in names if f"`{name}`" not in readme] == []


def test_what_a_compose_file_passes_on_as_empty_is_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in settings.Settings.model_fields:
        monkeypatch.setenv(f"MERALION_{name.upper()}", "")
    with pytest.raises(StartError, match="MERALION_API_KEYS is set and empty"):
        settings.load()  # or everybody would be let in by mistake
    monkeypatch.delenv("MERALION_API_KEYS")
    chosen = settings.load()
    assert (chosen.visitor_secret, chosen.port, chosen.cors_origins) == (None, 8000, ())
    (tmp_path / "meralion.toml").write_text("port = 9001\n")
    assert settings.load().port == 9001


def test_who_has_no_home_keeps_answers_among_temporary_files() -> None:
    code = (
        "import os, pwd\n"
        "def nobody(uid): raise KeyError(uid)\n"
        "pwd.getpwuid = nobody\n"  # as in a container that runs as a number without a name
        "from backend import settings\n"
        "print(settings.load().cache_file)\n"
    )
    root = Path(settings.__file__).parents[1]
    environment = {
        name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(tempfile.gettempdir())
