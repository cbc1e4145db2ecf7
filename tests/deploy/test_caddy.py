"""The server's Caddy in front of the real pages and a real controller: what passes, and by which rules."""

from __future__ import annotations

import contextlib
import io
import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.backend.asking import until
from tests.backend.conftest import question
from tests.backend.controller_process import begun, ready
from tests.backend.fake_engine import FakeEngine, says
from tests.browser.conftest import CHROMIUM, QUIET
from tests.browser.demo import Demo, start_demo, stop_demo
from tests.browser.visitor import Visitor
from tests.deploy.names import metrics_of
from tests.deploy.ports import free_port
from tests.deploy.test_grafana import PANELS, expressions
from tests.speech import ROOT
from tests.ui.conftest import REGISTRY

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

FILE = ROOT / "deploy" / "caddy" / "Caddyfile"
CADDY = Path(sys.executable).parent / "caddy"
SECRET = "s" * 31 + "0123456789abcdef"
KEY = "mk-7fQ2vXkLrW8sYbN4cZpE7uHjD3mA6fGqTxR1oVi0K5X"
WITH_KEY = {"authorization": f"Bearer {KEY}"}
MIB = 2**20


@dataclass
class House:
    """Everything behind the door."""

    engine: FakeEngine
    environment: dict[str, str]


@dataclass
class Door:
    """A running Caddy."""

    url: str
    inside: str
    root: Path

    def client(self) -> httpx.Client:
        """A caller who trusts its authority."""
        return httpx.Client(
            base_url=self.url, verify=ssl.create_default_context(cafile=self.root), trust_env=False
        )


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    with contextlib.ExitStack() as stack:
        engine = FakeEngine("tiny")
        stack.callback(engine.shut_down)
        (folder / "models.toml").write_text(REGISTRY.format(url=engine.url))
        (folder / "keys.toml").write_text("")
        own = {
            "models": folder / "models.toml",
            "visitor_secret": SECRET,
            "api_keys": KEY,
            "cache_store": "none",
        }
        controller = ready(stack, begun(stack, folder / "log", port=0, **own), folder / "log")
        port = controller.ready["port"]
        pages = start_demo(
            MERALION_BACKEND_URL=f"http://127.0.0.1:{port}",
            MERALION_VISITOR_SECRET=SECRET,
            MERALION_UI_FEEDBACK_DIR="",
        )
        stack.callback(stop_demo, pages)
        yield House(
            engine,
            {
                "MERALION_UI_HOST": "localhost",
                "MERALION_UI_PORT": str(pages.port),
                "MERALION_CONTROLLER_HOST": "localhost",
                "MERALION_CONTROLLER_PORT": str(port),
            },
        )


@contextlib.contextmanager
def opened(folder: Path, **environment: str) -> Iterator[Door]:
    """Caddy at free ports of this machine, with an authority of its own."""
    http, https, inside = free_port(), free_port(), free_port()
    ports = {
        "MERALION_DOMAIN": "localhost",
        "MERALION_HTTP_PORT": str(http),
        "MERALION_HTTPS_PORT": str(https),
        "MERALION_CADDY_METRICS_PORT": str(inside),
    }
    homes = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / "caddy.log").open("wb") as log:
        process = subprocess.Popen(
            [CADDY, "run", "--config", FILE, "--adapter", "caddyfile"],
            env=os.environ | homes | ports | environment,
            stdout=log,
            stderr=log,
        )
    try:
        door = Door(
            f"https://localhost:{https}",
            f"http://127.0.0.1:{inside}",
            folder / "caddy/pki/authorities/local/root.crt",
        )
        until(lambda: _healthy(door), 30)
        yield door
    finally:
        process.kill()  # it would wait for the pages' web sockets
        process.wait()


def _healthy(door: Door) -> bool:
    with contextlib.suppress(httpx.TransportError, OSError):
        return httpx.get(f"{door.inside}/healthz", trust_env=False).text == "ok" and bool(
            door.client().get("/healthz")
        )
    return False


@pytest.fixture(scope="module")
def door(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """The API is open here."""
    with opened(tmp_path_factory.mktemp("open"), MERALION_API="on", **house.environment) as running:
        yield running


@pytest.fixture(scope="module")
def closed(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """The API is as it is unless a host opens it."""
    with opened(tmp_path_factory.mktemp("closed"), **house.environment) as running:
        yield running


def test_caddy_takes_the_file_and_would_write_it_so(tmp_path: Path) -> None:
    environment = os.environ | {"XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    for command in (["validate", "--config", FILE, "--adapter", "caddyfile"], ["fmt", "--diff", FILE]):
        done = subprocess.run([CADDY, *command], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_domain_gets_a_public_certificate_and_a_local_name_one_of_its_own(tmp_path: Path) -> None:
    def issuers(domain: str) -> str:
        adapting = [CADDY, "adapt", "--config", FILE, "--adapter", "caddyfile"]
        environment = os.environ | {"MERALION_DOMAIN": domain}
        done = subprocess.run(adapting, capture_output=True, text=True, env=environment, check=True)
        return json.dumps(json.loads(done.stdout)["apps"].get("tls", {}))

    assert "internal" not in issuers("demo.example.org"), "it is to be trusted by everybody"


@pytest.mark.browser
def test_every_page_works_under_the_rules_and_asks_nobody_else(door: Door, house: House) -> None:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    house.engine.default = says("Two ", "kopi.")
    trouble: list[str] = []
    asked: list[str] = []
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_context(ignore_https_errors=True, locale="en-SG").new_page()
        page.on(
            "console", lambda said: trouble.append(said.text) if "Content Security" in said.text else None
        )
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        sockets: list[str] = []
        page.on("websocket", lambda socket: sockets.append(socket.url))
        visitor = Visitor(page, Demo(None, 0))  # type: ignore[arg-type] # it is opened by its address
        visitor.open(door.url)
        with page.expect_request("**/_stcore/upload_file/**") as uploading:
            visitor.upload("clip.mp3", (ROOT / "samples/clips/st-weather.mp3").read_bytes())
        visitor.clip_is("clip.mp3")
        _refuses_what_is_too_large(door, uploading.value)
        visitor.ask("What is ordered?")
        assert visitor.answer() == "Two kopi."
        for path in ("voice", "cascade", "models"):
            page.goto(f"{door.url}/{path}")
            page.wait_for_selector(".st-key-start_over, .st-key-compare", timeout=30_000)
            visitor.settle()
        metrics = httpx.get(f"{door.inside}/metrics", trust_env=False).text
        browser.close()
    assert trouble == []
    assert sockets and all(url.startswith(door.url.replace("https", "wss")) for url in sockets)
    assert all(url.startswith((door.url, "blob:", "data:")) for url in asked)
    # The dashboard counts open pages by it.
    named = set[str]().union(*(metrics_of(text) for panel in PANELS for text in expressions(panel)))
    for name in (name for name in named if name.startswith("caddy_")):
        assert f"{name}{{" in metrics
    assert 'server="pages"' in metrics


def _refuses_what_is_too_large(door: Door, upload: playwright.Request) -> None:
    """What this visit may upload, and the page itself would not offer, goes no further than here."""
    headers = {
        name: value for name, value in upload.all_headers().items() if name in ("cookie", "x-xsrftoken")
    }
    with door.client() as client:
        for size, status in ((1, 204), (107, 413)):
            file = io.BytesIO(bytes(size * MIB))
            done = client.put(upload.url, headers=headers, files={"file": ("a.wav", file)}, timeout=60)
            assert done.status_code == status, f"{size} MiB"


def test_pages_come_with_the_rules_and_stay_with_one_server(closed: Door) -> None:
    with closed.client() as client:
        page = client.get("/")
    assert page.status_code == 200
    assert "frame-ancestors 'self'" in page.headers["content-security-policy"]
    assert "microphone=(self)" in page.headers["permissions-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["strict-transport-security"]
    assert "meralion_pages=" in page.headers["set-cookie"] and "Secure" in page.headers["set-cookie"]


def test_the_api_is_closed_unless_a_host_opens_it(closed: Door) -> None:
    with closed.client() as client:
        for path in ("/v1/models", "/v1/status", "/v1/host", "/v1/chat/completions"):
            refused = client.get(path, headers=WITH_KEY)
            assert refused.status_code == 404 and "MERALION_API=on" in refused.json()["error"]["message"]


def test_an_open_api_wants_a_key(door: Door) -> None:
    with door.client() as client:
        assert client.get("/v1/models").status_code == 401
        assert client.get("/v1/models", headers=WITH_KEY).json()["data"][0]["id"] == "tiny"


@pytest.mark.parametrize(
    "path", ["/v1/status", "/v1/host", "/v1/host/pause", "/v1/../v1/status", "/v1/models/../status"]
)
def test_what_is_the_host_s_stays_inside(door: Door, path: str) -> None:
    with door.client() as client:
        refused = client.get(path, headers=WITH_KEY)
        assert refused.status_code == 404
        assert "instances" not in refused.text
        assert "meralion_" not in client.get("/metrics", headers=WITH_KEY).text


def test_words_go_out_as_they_come(door: Door, house: House) -> None:
    go_on = threading.Event()

    async def behave(exchange: object) -> None:
        from tests.backend.asking import stops_midway

        await stops_midway(["Two", " kopi"], go_on)(exchange)  # type: ignore[arg-type]

    house.engine.default = behave
    body = {**question("Slowly?"), "stream": True}
    with (
        door.client() as client,
        client.stream("POST", "/v1/chat/completions", json=body, headers=WITH_KEY) as answer,
    ):
        assert answer.status_code == 200
        lines = answer.iter_lines()
        # The engine says the second word only after the first has come through.
        assert any("Two" in line for line in lines)
        go_on.set()
        assert any("kopi" in line for line in lines)


def test_plain_http_is_sent_to_https(closed: Door, tmp_path: Path) -> None:
    adapted = subprocess.run(
        [CADDY, "adapt", "--config", FILE, "--adapter", "caddyfile"],
        capture_output=True,
        text=True,
        check=True,
    )
    servers = json.loads(adapted.stdout)["apps"]["http"]["servers"]
    assert not any("disable_redirects" in server.get("automatic_https", {}) for server in servers.values())
