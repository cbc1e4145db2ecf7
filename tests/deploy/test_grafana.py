"""The dashboard: every query is answered by a real Prometheus that has scraped a real controller."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from tests.deploy import compose
from tests.deploy.names import metrics_of
from tests.deploy.test_prometheus import check_names
from tests.deploy.watched import Watched
from tests.speech import ROOT

FOLDER = ROOT / "deploy" / "grafana"
FILES = sorted((FOLDER / "dashboards").glob("*.json"))
BOARDS: list[dict[str, Any]] = [json.loads(file.read_text("utf-8")) for file in FILES]
PANELS = [panel for board in BOARDS for panel in board["panels"] if panel["type"] != "row"]
(SOURCE,) = yaml.safe_load((FOLDER / "provisioning/datasources/prometheus.yaml").read_text("utf-8"))[
    "datasources"
]


def expressions(panel: dict[str, Any]) -> list[str]:
    return [target["expr"] for target in panel["targets"]]


def filled(expression: str) -> str:
    """A query as Grafana sends it, with every model chosen."""
    return expression.replace("$__rate_interval", "30s").replace("$model", ".*")


def test_what_is_provisioned_is_where_compose_mounts_it() -> None:
    (provider,) = yaml.safe_load((FOLDER / "provisioning/dashboards/meralion.yaml").read_text("utf-8"))[
        "providers"
    ]
    mounts = dict(mount.split(":")[:2] for mount in compose.services()["grafana"]["volumes"])
    assert mounts["./grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./grafana/provisioning"] == "/etc/grafana/provisioning"
    assert SOURCE["url"] == "http://prometheus:9090"
    assert "prometheus" in compose.services()


def test_nobody_gets_in_without_a_password_and_nothing_calls_out() -> None:
    environment = compose.services()["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == environment["GF_USERS_ALLOW_SIGN_UP"] == "false"
    assert environment["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana_password"
    assert environment["GF_ANALYTICS_REPORTING_ENABLED"] == "false"


def test_panels_are_whole_and_do_not_overlap() -> None:
    for board in BOARDS:
        identifiers = [panel["id"] for panel in board["panels"]]
        assert len(set(identifiers)) == len(identifiers)
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
            taken |= cells


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: f"{panel['id']} {panel['title']}")
def test_a_panel_says_what_it_shows_and_asks_our_source(panel: dict[str, Any]) -> None:
    assert panel["title"] and panel["description"].endswith(".")
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for place in (panel, *panel["targets"]):
        assert place["datasource"] == {"type": "prometheus", "uid": SOURCE["uid"]}
    for expression in expressions(panel):
        assert set(re.findall(r"\$(\w+)", expression)) <= {"model", "__rate_interval"}


def test_it_shows_what_a_host_asks_about() -> None:
    shown = set[str]().union(*(metrics_of(text) for panel in PANELS for text in expressions(panel)))
    assert shown >= {
        *(
            "meralion_answers_total",
            "meralion_time_to_first_token_seconds_bucket",
            "meralion_instance_tokens_total",
        ),
        *(
            "meralion_model_waiting",
            "meralion_instance_state",
            "meralion_requests_total",
            "vllm:kv_cache_usage_perc",
        ),
        *("vllm:prefix_cache_hits_total", "vllm:mm_cache_hits_total", "meralion_paused"),
    }


def test_every_metric_on_it_exists(watched: Watched) -> None:
    check_names([text for panel in PANELS for text in expressions(panel)], watched.metrics)


def test_a_real_prometheus_answers_every_query(watched: Watched) -> None:
    for panel in PANELS:
        for expression in expressions(panel):
            watched.query(filled(expression))


def test_panels_about_the_controller_have_something_to_show(watched: Watched) -> None:
    empty = []
    for panel in PANELS:
        for expression in expressions(panel):
            names = metrics_of(expression)
            at_rest = "status=~" in expression  # nothing has failed
            ours = names and all(name.startswith(("meralion_", "process_")) for name in names)
            if ours and not at_rest and not watched.query(filled(expression)):
                empty.append(expression)
    assert empty == []
