"""The Space: front matter that the hub knows, and a folder that holds all its Dockerfile copies."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.dockerfile import copied, values, variables
from tests.deploy.test_settings_files import CLASSES, names
from tests.speech import ROOT

FOLDER = ROOT / "deploy" / "space"
# By the hub's "Spaces Configuration Reference".
KNOWN = {
    *("title", "emoji", "colorFrom", "colorTo", "sdk", "python_version", "sdk_version", "suggested_hardware"),
    *("suggested_storage", "app_file", "app_build_command", "app_port", "base_path", "fullWidth", "header"),
    *(
        "short_description",
        "models",
        "datasets",
        "tags",
        "thumbnail",
        "pinned",
        "hf_oauth",
        "hf_oauth_scopes",
    ),
    *("hf_oauth_expiration_minutes", "hf_oauth_authorized_org", "disable_embedding", "license"),
    *("startup_duration_timeout", "custom_headers", "preload_from_hub"),
}
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


def card() -> dict[str, Any]:
    _, front, _ = (FOLDER / "README.md").read_text("utf-8").split("---\n", 2)
    loaded: dict[str, Any] = yaml.safe_load(front)
    return loaded


def test_the_front_matter_is_what_the_hub_knows() -> None:
    found = card()
    assert found.keys() <= KNOWN
    assert found["sdk"] == "docker" and found["suggested_hardware"] == "cpu-basic"
    assert {found["colorFrom"], found["colorTo"]} <= COLOURS
    assert len(found["short_description"]) <= 60
    assert found["license"] == "apache-2.0"
    assert re.fullmatch(r"\d+[mh]", found["startup_duration_timeout"])


def test_the_port_is_the_image_s() -> None:
    file = FOLDER / "Dockerfile"
    assert values(file, "EXPOSE") == [str(card()["app_port"])] == [variables(file)["STREAMLIT_SERVER_PORT"]]


def test_its_models_are_those_that_it_runs() -> None:
    rows = tomllib.loads((ROOT / "backend" / "models.toml").read_text("utf-8"))
    assert set(card()["models"]) == {name for row in rows.values() for name in row["hub_id"].split(" + ")}


def test_its_variables_are_settings() -> None:
    known = set[str]().union(*(names(kind) for kind in CLASSES.values()))
    assert {name for name in variables(FOLDER / "Dockerfile") if name.startswith("MERALION_")} <= known


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("space") / "laid out"
    subprocess.run([FOLDER / "lay-out", folder], check=True)
    return folder


def test_a_laid_out_space_has_all_that_its_dockerfile_copies(space: Path) -> None:
    for source in copied(FOLDER / "Dockerfile"):
        assert list(space.glob(source)), source
    assert (space / "Dockerfile").is_file() and (space / "README.md").read_text("utf-8").startswith(
        "---\ntitle:"
    )
    assert not (space / "tests").exists() and not (space / "deploy").exists()
    ignored = (space / ".dockerignore").read_text("utf-8").splitlines()
    for line in ignored:
        if line.startswith("!"):
            assert (space / line[1:]).exists(), line


def test_nothing_is_laid_over_what_is_there(space: Path) -> None:
    refused = subprocess.run([FOLDER / "lay-out", space], capture_output=True, text=True)
    assert refused.returncode == 2 and "not there yet" in refused.stderr
