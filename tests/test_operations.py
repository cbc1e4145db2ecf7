"""The runbook: alerts lead into it, what it names is there, and its commands do what it says."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import backend.logs
import backend.settings
import model.embedded.settings
import model.logs
import model.vllm_plugin.settings
import ui.logs
import ui.settings
from tests.backend.conftest import VISITOR, question, row
from tests.backend.controller_process import begun, ready
from tests.backend.fake_engine import FakeEngine, says
from tests.speech import ROOT
from tests.ui.conftest import tone
from ui.donations import Consent, Donations, show_receipt

TEXT = (ROOT / "docs" / "operations.md").read_text("utf-8")
HOST_KEY = "kopi-peng-siew-dai-for-the-host-9274"


def section(heading: str) -> str:
    return re.split(r"^## ", TEXT.split(f"\n## {heading}", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def commands(text: str) -> list[str]:
    return [line.strip().partition("  #")[0] for line in text.splitlines() if line.startswith("    ")]


def test_every_alert_leads_to_its_section() -> None:
    rules = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text("utf-8")
    urls = re.findall(r"runbook_url: (\S+)", rules)
    assert len(urls) == len(re.findall(r"- alert: ", rules)) > 10
    headings = {heading.lower() for heading in re.findall(r"^### (\w+)$", TEXT, re.MULTILINE)}
    assert {url.partition("#")[2] for url in urls} == headings
    assert {url.partition("#")[0] for url in urls} == {"docs/operations.md"}


def test_every_setting_that_it_names_is_one() -> None:
    compose = (ROOT / "deploy" / "compose.yaml").read_text("utf-8")
    known = set(re.findall(r"\$\{(MERALION_[A-Z_]+)", compose))
    for kind in (
        backend.settings.Settings,
        ui.settings.Settings,
        model.embedded.settings.Settings,
        model.vllm_plugin.settings.Settings,
    ):
        prefix = str(kind.model_config["env_prefix"])
        known |= {
            str(field.validation_alias or prefix + name.upper()) for name, field in kind.model_fields.items()
        }
    assert set(re.findall(r"MERALION_[A-Z_]+[A-Z]", TEXT)) <= known


def test_the_fields_of_the_logs_are_those_it_names() -> None:
    named = re.search(r"applies: `([a-z_ ]+)`", TEXT)
    assert named
    assert set(named[1].split()) == backend.logs.FIELDS - {"pid", "port"}
    assert ui.logs.FIELDS | model.logs.FIELDS <= backend.logs.FIELDS


def test_every_module_and_file_that_it_names_is_there() -> None:
    for name in set(re.findall(r"python -m ([\w.]+)", TEXT)) - {"json.tool"}:
        path = ROOT / name.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), name
    for link in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert (ROOT / "docs" / link).exists(), link


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A controller in front of an engine, and its log."""
    engine = FakeEngine("tiny")
    engine.default = says("Two kopi.")
    (tmp_path / "models.toml").write_text(row([engine.url]))
    log = tmp_path / "log"
    with contextlib.ExitStack() as stack:
        stack.callback(engine.shut_down)
        told = {"port": 0, "models": tmp_path / "models.toml", "cache_store": "none", "host_key": HOST_KEY}
        process = ready(stack, begun(stack, log, **told), log)
        reply = process.client.post(
            "/v1/chat/completions",
            json=question("What?"),
            headers=VISITOR | {"x-request-id": "req-0123456789abcdef"},
        )
        assert reply.status_code == 200, reply.text
        yield f"http://127.0.0.1:{process.ready['port']}", log


def shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    python = str(Path(sys.executable))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MERALION")}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.replace(".venv/bin/python", python)],
        cwd=folder,
        env={**clean, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_first_look_and_following_an_id(controller: tuple[str, Path], tmp_path: Path) -> None:
    url, log = controller
    status, states = commands(TEXT.split("## Alerts")[0])
    assert json.loads(shell(status, tmp_path, C=url).stdout)["object"] == "status"
    assert 'meralion_model_state{model="tiny",state="up"} 1.0' in shell(states, tmp_path, C=url).stdout
    follow = commands(section("Logs"))[0].replace("LOG", str(log))
    (line,) = shell(follow, tmp_path).stdout.splitlines()
    assert json.loads(line)["route"] == "/v1/chat/completions"
    pause = re.search(r"`(curl -s -X POST [^`]+)`", TEXT)
    assert pause
    goes_on = shell(pause[1].replace("HOST_KEY", HOST_KEY), tmp_path, C=url)
    assert json.loads(goes_on.stdout).get("error") is None, goes_on.stdout


def test_donations_are_kept_and_deleted_by_its_commands(tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir()
    donations = Donations(tmp_path / "donations", 2**24)
    kept = [donations.keep(tone(1.1), 1.1, Consent("Yes.", "en")) for _ in range(2)]
    lines = commands(section("What visitors left"))
    assert len(lines) == 6
    for line in lines[1:]:
        command = line.replace("/backups", str(tmp_path / "backups"))
        command = command.replace("abcd-efgh-ijkl-mnop", show_receipt(kept[0]))
        done = shell(command, tmp_path, MERALION_UI_DONATIONS_DIR=str(tmp_path / "donations"))
        assert done.returncode == 0, (command, done.stderr)
    assert [one.receipt for one in donations.all()] == [kept[1]]
    assert (tmp_path / "backups" / "donations-1.tar").stat().st_size > 2 * len(tone(1.1))


def test_new_keys_are_made_by_its_commands(tmp_path: Path) -> None:
    made = re.findall(r"`(\.venv/bin/python [^`]+)`", section("Secrets"))
    assert len(made) == 2
    for command in made:
        done = shell(command.replace("NAME", "fair"), tmp_path)
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.strip()) > 32
