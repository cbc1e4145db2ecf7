"""A real Prometheus that scrapes a real controller: deploy/prometheus/prometheus.yml with other targets."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from pydantic import SecretStr

from backend import keys
from backend.settings import Settings
from tests.backend.asking import until
from tests.backend.conftest import question, row, serving
from tests.backend.fake_engine import FakeEngine, says
from tests.deploy.ports import free_port
from tests.speech import ROOT

FOLDER = ROOT / "deploy" / "prometheus"
LIMIT_S = 30.0
KEY = "mk-7fQ2vXkLrW8sYbN4cZpE7uHjD3mA6fGqTxR1oVi0K5X"


@dataclass
class Watched:
    """A controller's metrics, and the Prometheus that has read them."""

    metrics: str
    prometheus: httpx.Client

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What Prometheus answers to a query over the last seconds; fails where it cannot."""
        now = time.time()
        response = self.prometheus.post(
            "/api/v1/query_range",
            data={"query": expression, "start": now - 5, "end": now, "step": 1},
        )
        assert response.status_code == 200, f"{expression}: {response.text}"
        found: list[dict[str, Any]] = response.json()["data"]["result"]
        return found


def program(name: str) -> str:
    """The path of one of Prometheus's programs; skips where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name}: run tests/system-packages")
    return found


@contextlib.contextmanager
def watched() -> Iterator[Watched]:
    """Run both until Prometheus has seen the controller answer."""
    binary = program("prometheus")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        engine = FakeEngine("tiny")
        stack.callback(engine.shut_down)
        engine.default = says("Two ", "kopi.")
        (folder / "models.toml").write_text(row([engine.url]))
        (folder / "key").write_text(KEY)
        settings = Settings(
            models=folder / "models.toml",
            cache_store="none",
            api_keys=SecretStr(KEY),
            host_key=SecretStr("h" + KEY[::-1]),
        )
        assert not keys.weakness(KEY)
        url = stack.enter_context(serving(settings))
        asking = stack.enter_context(_client(url, headers={"authorization": f"Bearer {KEY}"}))
        until(lambda: _answers(asking, "/readyz"), LIMIT_S)
        for words in ("One?", "One?", "Two?"):
            asked = asking.post("/v1/chat/completions", json=question(words, temperature=0))
            assert asked.status_code == 200, asked.text
        client = stack.enter_context(_client(stack.enter_context(_prometheus(binary, folder, url))))
        found = Watched(asking.get("/metrics").text, client)
        until(lambda: _answers(client, "/-/ready"), LIMIT_S)
        # Three looks, so that there are rates.
        until(lambda: found.query("count_over_time(meralion_answers_total[1m]) >= 3"), LIMIT_S)
        yield found


def _answers(client: httpx.Client, path: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return client.get(path).is_success
    return False


def _client(url: str, **more: Any) -> httpx.Client:
    return httpx.Client(base_url=url, trust_env=False, timeout=10, **more)


@contextlib.contextmanager
def _prometheus(binary: str, folder: Path, controller: str) -> Iterator[str]:
    """Our configuration, but with targets on this machine, the key in a file of ours, and no time to lose."""
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    config["rule_files"] = [str(FOLDER / "alerts.yml")]
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    jobs["controller"]["authorization"]["credentials_file"] = str(folder / "key")
    del jobs["controller"]["dns_sd_configs"]
    jobs["controller"]["static_configs"] = [{"targets": [controller.removeprefix("http://")]}]
    config["scrape_configs"] = [jobs["controller"]]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = [
        binary,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
