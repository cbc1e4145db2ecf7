"""The real pages as two pods behind the cluster's Caddy: a visit stays at its pod, whatever comes or goes."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.backend.asking import until
from tests.backend.controller_process import begun, ready
from tests.backend.dns_server import dns_server, needs_root
from tests.backend.fake_engine import FakeEngine, says
from tests.browser.demo import Demo
from tests.deploy.front import Front, needs_caddy
from tests.speech import ROOT
from tests.ui.conftest import REGISTRY, tone

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from tests.browser.visitor import Visitor  # noqa: E402 - it needs playwright

pytestmark = [pytest.mark.browser, pytest.mark.slow, needs_root, needs_caddy]
PODS = ("127.0.10.1", "127.0.10.2")


class House:
    """Two page pods, a controller, an engine, and Caddy in front."""

    def __init__(self, folder: Path, front: Front, stack: contextlib.ExitStack) -> None:
        self.front = front
        self.engine = FakeEngine("tiny")
        stack.callback(self.engine.shut_down)
        self.engine.default = says("Two ", "kopi.")
        (folder / "models.toml").write_text(REGISTRY.format(url=self.engine.url))
        log = folder / "controller's log"
        settings = {"port": 0, "models": folder / "models.toml", "cache_store": "none", "cache_max_bytes": 0}
        controller = begun(stack, log, **settings)
        self._folder, self._stack = folder, stack
        backend = ready(stack, controller, log).client.base_url
        self.pods = {host: self._pod(host, str(backend)) for host in PODS}
        for host in PODS:
            until(lambda host=host: self._is_up(host), 60)  # type: ignore[misc]

    def _pod(self, host: str, backend: str) -> subprocess.Popen[bytes]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MERALION")}
        told = {
            "MERALION_BACKEND_URL": backend.rstrip("/"),
            "MERALION_UI_FEEDBACK_DIR": "",
            "STREAMLIT_SERVER_HEADLESS": "true",
            "STREAMLIT_SERVER_ADDRESS": host,
            "STREAMLIT_SERVER_PORT": str(self.front.behind),
        }
        log = self._stack.enter_context((self._folder / f"pages {host}").open("wb"))
        command = [sys.executable, "-m", "streamlit", "run", "Home.py"]
        popen = subprocess.Popen(
            command, cwd=ROOT, env=kept | told, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        self._stack.callback(popen.wait, 30)
        self._stack.callback(popen.kill)
        return popen

    def _is_up(self, host: str) -> bool:
        with contextlib.suppress(httpx.TransportError):
            url = f"http://{host}:{self.front.behind}/_stcore/health"
            return httpx.get(url, trust_env=False).is_success
        return False


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with dns_server() as dns, contextlib.ExitStack() as stack:
        yield House(tmp_path, Front(dns, tmp_path, stack), stack)


@pytest.fixture
def browser() -> Iterator[playwright.Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(
            executable_path=chromium, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        yield started
        started.close()


def home(visitor: Visitor) -> str:
    """What the visitor's cookie says of the pod."""
    (value,) = (one["value"] for one in visitor.page.context.cookies() if one["name"] == "meralion_pages")
    return str(value)


def asks(visitor: Visitor, prompt: str) -> None:
    visitor.ask(prompt)
    assert visitor.answer() == "Two kopi."


def test_a_visit_stays_at_its_pod(house: House, browser: playwright.Browser) -> None:
    front = house.front
    front.name(PODS[0])
    url = front.start()
    demo = Demo(house.pods[PODS[0]], int(url.rpartition(":")[2]))  # type: ignore[arg-type]

    def comes() -> Visitor:
        return Visitor(browser.new_context(locale="en-SG").new_page(), demo).open()

    first = comes()
    front.name(PODS[1])
    until(lambda: _leads_elsewhere(url, home(first)))
    # Caddy may have asked for the old name's address just before.
    second = next(visitor for visitor in (comes() for _ in range(5)) if home(visitor) != home(first))
    homes = [home(first), home(second)]
    front.name(*PODS)
    until(lambda: _leads_elsewhere(url, homes[1]))
    # A recording goes up by a request of its own, which the pod that has the visit alone understands.
    for visitor in (first, second):
        visitor.upload("a.wav", tone())
        visitor.clip_is("a.wav")
        asks(visitor, "What is ordered?")
    assert [home(first), home(second)] == homes

    # Caddy's pod is replaced: the web socket breaks, the page comes back to its visit, and goes on.
    old = front.running.pop()
    old.terminate()
    old.wait(30)
    front.start(demo.port)
    asks(first, "And how many?")
    assert len(house.engine.exchanges[-1].json["messages"]) == 3  # with the first question and its answer
    assert [home(first), home(second)] == homes

    # A page pod leaves DNS: who is there goes on. It ends: who was there begins anew elsewhere.
    front.name(PODS[1])
    front.until_looked_up(url)
    asks(first, "And what else?")
    with first.page.expect_websocket():  # what stands on the page stays until the next press
        house.pods[PODS[0]].terminate()
    until(lambda: home(first) == homes[1])
    first.press("start_over")
    first.page.locator(".m-clip").wait_for(state="detached", timeout=30_000)
    first.settle()
    first.upload("b.wav", tone())
    first.clip_is("b.wav")
    asks(first, "Anybody here?")
    asks(second, "Still here?")


def _leads_elsewhere(url: str, cookie: str) -> bool:
    """Whether somebody new is led to another pod than the one that a cookie names."""
    return httpx.get(f"{url}/_stcore/health", trust_env=False).cookies.get("meralion_pages") != cookie
