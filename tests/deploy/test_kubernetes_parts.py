"""The parts as the manifests run them: real programs, told by DNS what Kubernetes would tell them."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import yaml

from tests.backend.asking import Asker, until
from tests.backend.conftest import question, row
from tests.backend.controller_process import begun, ready
from tests.backend.dns_server import dns_server, needs_root
from tests.backend.fake_engine import Behaviour, Exchange, FakeEngine, recital, recites
from tests.backend.test_status import until as until_status
from tests.deploy.front import Front, needs_caddy
from tests.deploy.kubernetes import FOLDER, needs_kubectl, rendered

# The controller, with what its ConfigMaps say


@needs_kubectl
@pytest.mark.parametrize("overlay", ["overlays/cpu", "overlays/cluster"])
def test_the_controller_takes_its_settings_and_tells_what_is_scaled_by(overlay: str, tmp_path: Path) -> None:
    whole = rendered(overlay)
    pod = whole.pod("meralion-controller")
    said = {
        name.removeprefix("MERALION_").lower(): value
        for name, value in whole.environment(pod).items()
        if name.startswith("MERALION_")
    }
    file = tmp_path / "models.toml"
    file.write_text(whole.data("meralion-models")["models.toml"])
    secrets = {
        "visitor_secret": "a-test's-secret-of-some-length-0123456789",
        "host_key": "kopi-o-kosong-siew-dai",
    }
    here = {"host": "127.0.0.1", "port": 0, "models": file, "shutdown_grace_s": 0}
    with contextlib.ExitStack() as stack:
        log = tmp_path / "log"
        process = ready(stack, begun(stack, log, **(said | secrets | here)), log)
        client = process.client
        del client.headers["x-meralion-visitor"]  # which is not signed; Prometheus has none
        assert client.get("/healthz").json()["status"] == "starting"  # no such names here
        status = client.get("/v1/status").json()
        wanted = {"meralion-engine:8001"} | (
            {"meralion-vllm:8001"} if overlay == "overlays/cluster" else set()
        )
        assert {one["name"] for one in status["instances"]} == wanted
        assert status["redis"] == "away"
        told = client.get("/metrics").text
    rules = yaml.safe_load((FOLDER / "metrics/prometheus-adapter.yaml").read_text("utf-8"))["rules"]
    asked = {
        name
        for rule in (*rules["custom"], *rules["external"])
        for name in re.findall(r"meralion_\w+", rule["seriesQuery"] + rule["metricsQuery"])
    }
    assert asked == {"meralion_model_waiting", "meralion_instance_busy", "meralion_instance_limit"}
    for name in asked:
        assert f"# TYPE {name} gauge" in told


# vLLM's end


@contextlib.contextmanager
def metrics(*told: float) -> Iterator[tuple[str, list[float]]]:
    """A server of vLLM's figures, which runs these many requests one after the other, the last for ever."""
    left = list(told)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            running = left.pop(0) if len(left) > 1 else left[0]
            body = (
                "# TYPE vllm:num_requests_running gauge\n"
                f'vllm:num_requests_running{{engine="0",model_name="tiny"}} {running}\n'
                'vllm:num_requests_waiting{engine="0",model_name="tiny"} 0.0\n'
                'vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 7.0\n'
            ).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/metrics", left
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def drained(url: str, within_s: float) -> subprocess.CompletedProcess[str]:
    names = {"METRICS": url, "SETTLE_S": "0", "WITHIN_S": str(within_s)}
    command = [sys.executable, FOLDER / "components/vllm/drain.py"]
    return subprocess.run(command, env=os.environ | names, capture_output=True, text=True, timeout=30)


def test_a_vllm_that_goes_is_kept_until_it_does_nothing() -> None:
    with metrics(2, 1, 0) as (url, left):
        done = drained(url, 20)
    assert (done.returncode, done.stderr, left) == (0, "", [0])


def test_a_vllm_that_never_ends_is_kept_only_so_long() -> None:
    with metrics(1) as (url, _):
        assert drained(url, 1.2).returncode == 0


def test_a_vllm_that_is_gone_keeps_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert drained(f"http://127.0.0.1:{port}/metrics", 20).returncode == 0


# Caddy in front, as its ConfigMap says


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    with dns_server() as dns, contextlib.ExitStack() as stack:
        yield Front(dns, tmp_path, stack)


def tells(name: str) -> Behaviour:
    """A page that says which pod it is of."""

    async def behave(exchange: Exchange) -> None:
        await exchange.head(content_type="text/plain")
        await exchange.send(name.encode())
        await exchange.end()

    return behave


def at(client: httpx.Client) -> str:
    response = client.get("/")
    assert response.status_code == 200, response.text
    return response.text


@needs_root
@needs_caddy
def test_a_hall_behind_one_address_keeps_each_visitor_at_a_pod(front: Front) -> None:
    pods = {f"127.0.10.{number}": front.pod(number, tells(f"127.0.10.{number}")) for number in (1, 2, 3)}
    front.name(*pods)
    first, second = front.start(), front.start()
    with contextlib.ExitStack() as stack:
        visitors = [
            stack.enter_context(httpx.Client(base_url=first, trust_env=False, timeout=10)) for _ in range(24)
        ]
        homes = [at(visitor) for visitor in visitors]
        assert set(homes) == set(pods)
        assert [at(visitor) for visitor in visitors] == homes
        # Another Caddy leads them to the same.
        for visitor in visitors:
            visitor.base_url = httpx.URL(second)
        assert [at(visitor) for visitor in visitors] == homes
        # A pod that dies costs its own visitors their place, and nobody an error; not even before DNS knows.
        pods["127.0.10.1"].die()
        moved = [at(visitor) for visitor in visitors]
        assert "127.0.10.1" not in moved
        assert all(new == old for new, old in zip(moved, homes, strict=True) if old != "127.0.10.1")
        assert [at(visitor) for visitor in visitors] == moved
    cookie = httpx.get(first, headers={"x-forwarded-proto": "https"}, trust_env=False).headers["set-cookie"]
    assert cookie.startswith("meralion_pages=")
    assert "HttpOnly" in cookie and "Secure" in cookie


@needs_root
@needs_caddy
def test_a_web_socket_outlives_its_pod_s_place_in_dns(front: Front) -> None:
    async def echoes(exchange: Exchange) -> None:
        upgrade = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        exchange.writer.write(upgrade.encode())
        while line := await exchange.reader.readline():
            exchange.writer.write(line)
            await exchange.writer.drain()

    leaving = front.pod(1, echoes)
    front.name(leaving.host)
    url = httpx.URL(front.start())
    with socket.create_connection((url.host, url.port or 80), timeout=10) as browser:
        wire = browser.makefile("rwb")

        def said(line: bytes) -> bytes:
            wire.write(line)
            wire.flush()
            return wire.readline()

        wire.write(
            b"GET /_stcore/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        wire.flush()
        assert b"101" in wire.readline()
        while wire.readline().strip():
            pass
        assert said(b"one\n") == b"one\n"
        staying = front.pod(2, tells("127.0.10.2"))
        front.name(staying.host)

        def arrives_there() -> bool:
            answer = httpx.get(url, trust_env=False, timeout=10)
            return answer.text == "127.0.10.2"

        until(arrives_there)
        assert said(b"two\n") == b"two\n"


@needs_root
@needs_caddy
def test_a_rolling_update_of_controllers_drops_no_stream(
    front: Front, tmp_path: Path, engine: FakeEngine
) -> None:
    """As Kubernetes does it: a new one is ready, one leaves DNS, is told to go, ends its answers."""
    engine.default = recites(length=50, gap_s=0.05)  # 2.5 s, longer than a controller waits unless told to
    with contextlib.ExitStack() as stack:
        (tmp_path / "models.toml").write_text(row([engine.url], more="places = 64\n"))
        settings = {
            "port": front.behind,
            "models": tmp_path / "models.toml",
            "cache_store": "none",
            "cache_max_bytes": 0,
            "shutdown_grace_s": 60,
            "hedge_first_s": 0,
            "hedge_silence_s": 0,
        }
        hosts = [f"127.0.10.{number}" for number in (1, 2, 3, 4)]
        logs = {host: tmp_path / f"log {host}" for host in hosts}
        started = {host: begun(stack, logs[host], host=host, **settings) for host in hosts}
        controllers = {host: ready(stack, started[host], logs[host]) for host in hosts}
        for one in controllers.values():
            until_status(one.client, lambda status: status["models"][0]["state"] == "up")
        front.name(*hosts[:2])
        visitors = httpx.Client(base_url=front.start(), trust_env=False, timeout=30)
        stack.callback(visitors.close)
        asked: list[tuple[Asker, str]] = []

        def ask(count: int) -> None:
            for _ in range(count):
                text = f"Question {len(asked)}?"
                visitors.cookies.clear()  # each is somebody else
                asked.append((Asker(visitors, question(text)), "".join(recital(text, 50))))

        running = [True]
        asking = threading.Thread(target=lambda: _while(running, lambda: ask(1)), daemon=True)
        asking.start()
        try:
            for number in (0, 1):
                leaving = controllers[hosts[number]]
                until_status(leaving.client, lambda status: status["queue"]["busy"] >= 3)
                front.name(*hosts[number + 1 : number + 3])
                front.until_looked_up(str(visitors.base_url).rstrip("/"))
                assert leaving.client.get("/v1/status").json()["queue"]["busy"] > 0
                leaving.client.close()
                leaving.popen.terminate()
                leaving.popen.wait(30)
        finally:
            running[0] = False
            asking.join(10)
        assert len(asked) > 16
        assert [one.told() for one, _ in asked] == [whole for _, whole in asked]
        assert len(engine.exchanges) == len(asked)  # and nobody was asked twice


def _while(running: list[bool], do: Callable[[], None]) -> None:
    pause = threading.Event()
    while running[0]:
        do()
        pause.wait(0.1)


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    fake = FakeEngine("tiny")
    yield fake
    fake.shut_down()
