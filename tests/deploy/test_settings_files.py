"""Every `*.env` file below deploy/ lists every setting of its service once, as the service reads it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings

import backend.settings
import model.embedded.settings
import model.vllm_plugin.settings
import ui.settings
from tests.speech import ROOT

# Which class a file belongs to is told by its base name.
CLASSES: dict[str, type[BaseSettings]] = {
    "controller": backend.settings.Settings,
    "ui": ui.settings.Settings,
    "engine": model.embedded.settings.Settings,
    "vllm": model.vllm_plugin.settings.Settings,
}
FILES = sorted((ROOT / "deploy").rglob("*.env"))
_LINE = re.compile(r"(?P<unset># )?(?P<name>MERALION_[A-Z0-9_]+)=(?P<value>.*)")
# Defaults that depend on the machine or on who runs the program, as a file shows them.
_OF_THE_MACHINE = {
    "MERALION_ENGINE_THREADS": "(as many as there are CPUs, 4 at most)",
    "MERALION_CACHE_FILE": "~/.cache/meralion/answers.sqlite",
    "MERALION_UI_FEEDBACK_DIR": "~/.local/share/meralion/feedback",
}


def names(kind: type[BaseSettings]) -> dict[str, str]:
    """Every environment variable of a class, and the field that it sets."""
    prefix = str(kind.model_config["env_prefix"])
    return {
        str(field.validation_alias or prefix + name.upper()): name
        for name, field in kind.model_fields.items()
    }


def default(kind: type[BaseSettings], field: str) -> str:
    """A field's default, as it would be written in an environment variable."""
    value = kind.model_fields[field].get_default(call_default_factory=True)
    return "[]" if value == () and kind is ui.settings.Settings else _text(value)  # the pages read JSON


def _text(value: Any) -> str:
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Path):
        return str(value.relative_to(ROOT) if value.is_relative_to(ROOT) else value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)


def is_secret(kind: type[BaseSettings], field: str) -> bool:
    return "SecretStr" in str(kind.model_fields[field].annotation)


def lines(file: Path) -> list[re.Match[str]]:
    """The settings that a file names, set or not; fails at a line that is neither one nor a comment."""
    found = []
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        if setting := _LINE.fullmatch(line):
            found.append(setting)
        elif line and (not line.startswith("#") or re.match(r"#\s*MERALION_", line)):
            pytest.fail(f"{file}:{number}: {line!r} is neither NAME=value, # NAME=default nor a comment")
    return found


def expected(kind: type[BaseSettings], name: str) -> str:
    field = names(kind)[name]
    if is_secret(kind, field):
        return f"# {name}= (secret)"
    if name in _OF_THE_MACHINE:
        return f"# {name}={_OF_THE_MACHINE[name]}"
    return f"# {name}={default(kind, field)}"


def test_there_are_files_for_every_service() -> None:
    assert {file.stem for file in FILES} == set(CLASSES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_lists_every_setting_once(file: Path) -> None:
    kind = CLASSES[file.stem]
    found = [line["name"] for line in lines(file)]
    assert sorted(found) == sorted(set(found)), "a setting is there twice"
    unknown = sorted(set(found) - names(kind).keys())
    assert not unknown, "the service does not know these: take them out"
    missing = [expected(kind, name) for name in names(kind) if name not in found]
    assert not missing, "add these lines, or set them:\n" + "\n".join(missing)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_is_not_set_shows_the_default(file: Path) -> None:
    kind = CLASSES[file.stem]
    for line in lines(file):
        field = names(kind)[line["name"]]
        if is_secret(kind, field):
            assert line["unset"] and line["value"] == " (secret)", f"a secret: # {line['name']}= (secret)"
        elif line["unset"]:
            assert line[0] == expected(kind, line["name"])
        else:
            assert line["value"] != default(kind, field), f"{line['name']}: comment out what is the default"


def test_defaults_of_the_machine_are_what_the_files_say() -> None:
    assert default(CLASSES["controller"], "cache_file").endswith("/meralion/answers.sqlite")
    assert default(CLASSES["ui"], "feedback_dir").endswith("/.local/share/meralion/feedback")
    assert int(default(CLASSES["engine"], "threads")) == min(4, os.cpu_count() or 1)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_service_takes_the_values(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kind = CLASSES[file.stem]
    for name in [name for name in os.environ if name.startswith("MERALION_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)  # no meralion.toml of a developer
    values = {line["name"]: line["value"] for line in lines(file) if not line["unset"]}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    taken = _load(kind, values)
    for name, value in values.items():
        assert _same(getattr(taken, names(kind)[name]), value), name


def _load(kind: type[BaseSettings], values: Mapping[str, str]) -> BaseSettings:
    if kind is backend.settings.Settings:
        return backend.settings.load()
    if kind is ui.settings.Settings:
        return ui.settings.read(values)
    if kind is model.embedded.settings.Settings:
        return model.embedded.settings.load()
    return model.vllm_plugin.settings.load()


def _same(taken: Any, written: str) -> bool:
    """Whether a setting was read as it stands in the file."""
    if isinstance(taken, SecretStr):
        return taken.get_secret_value() == written
    if isinstance(taken, tuple) and written.startswith("["):
        return len(taken) == len(json.loads(written))
    if isinstance(taken, (int, float)) and not isinstance(taken, bool):
        return float(taken) == float(written)
    return _text(taken) == written or str(taken) == written
