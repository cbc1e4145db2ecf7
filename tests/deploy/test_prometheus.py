"""Alerts: well-formed, each with its own test, over metrics that exist, and taken by a real Prometheus."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.deploy.names import metrics_of
from tests.deploy.watched import FOLDER, Watched, program
from tests.speech import ROOT

RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
RUNBOOK = ROOT / "docs" / "operations.md"
# By the node exporter's documentation: its collectors filesystem, meminfo, cpu and loadavg.
NODE = {
    *("node_filesystem_avail_bytes", "node_filesystem_size_bytes", "node_cpu_seconds_total", "node_load1"),
    *("node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes"),
}


def vllm_names() -> set[str]:
    """The metrics of the vLLM that is installed for the tests, as its source names them."""
    for folder in (ROOT / ".venv-vllm" / "lib").glob("python3*/site-packages/vllm/v1"):
        found: set[str] = set()
        for file in folder.rglob("*.py"):
            found |= set(re.findall(r'"(vllm:\w+)"', file.read_text("utf-8")))
        return found
    pytest.skip("no .venv-vllm: run `make vllm`")


def exposed(metrics: str) -> set[str]:
    """The names of all samples in a text that Prometheus reads."""
    return {sample.name for family in text_string_to_metric_families(metrics) for sample in family.samples}


def check_names(expressions: list[str], metrics: str) -> None:
    """Fail for every metric that nobody has."""
    named = set[str]().union(*map(metrics_of, expressions))
    vllm = {name for name in named if name.startswith("vllm:")}
    node = {name for name in named if name.startswith("node_")}
    caddy = {name for name in named if name.startswith("caddy_")}  # held to a real one in test_caddy.py
    assert node <= NODE
    assert named - vllm - node - caddy <= exposed(metrics)
    assert {name.removesuffix("_total") for name in vllm} <= vllm_names()


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, cwd=FOLDER)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_the_configuration_and_the_rules(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("key")
    config = (FOLDER / "prometheus.yml").read_text("utf-8")
    (tmp_path / "prometheus.yml").write_text(config.replace("/run/secrets/prometheus_key", str(key)))
    (tmp_path / "alerts.yml").symlink_to(FOLDER / "alerts.yml")
    assert f"{len(RULES)} rules found" in promtool("check", "config", tmp_path / "prometheus.yml")


def test_alerts_fire_when_they_should_and_only_then() -> None:
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yml")


def test_every_alert_has_a_test_that_sees_it_fire() -> None:
    tests = yaml.safe_load((FOLDER / "alerts_test.yml").read_text("utf-8"))["tests"]
    seen = {
        case["alertname"] for test in tests for case in test.get("alert_rule_test", []) if case["exp_alerts"]
    }
    assert seen == {rule["alert"] for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{rule['alert'].lower()}"


@pytest.mark.skipif(not RUNBOOK.is_file(), reason="there is no runbook")
def test_the_runbook_has_an_entry_for_every_alert() -> None:
    headings = re.findall(r"(?m)^#+ (.+)$", RUNBOOK.read_text("utf-8"))
    anchors = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    assert {rule["alert"].lower() for rule in RULES} - anchors == set()


def test_every_metric_in_the_rules_exists(watched: Watched) -> None:
    check_names([rule["expr"] for rule in RULES], watched.metrics)


def test_a_real_prometheus_evaluates_every_rule_over_a_real_controller(watched: Watched) -> None:
    groups = watched.prometheus.get("/api/v1/rules").json()["data"]["groups"]
    found = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert found.keys() == {rule["alert"] for rule in RULES}
    assert [name for name, rule in found.items() if rule.get("lastError")] == []


def test_the_engines_keep_their_own_names(watched: Watched) -> None:
    (series,) = watched.query('meralion_instance_state{state="up"}')
    assert "tiny" in series["metric"]["instance"] or "127.0.0.1" in series["metric"]["instance"]
    assert series["metric"]["job"] == "controller"
