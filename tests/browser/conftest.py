"""The whole demo as its visitors meet it: `streamlit run Home.py`, the real engine, a real Chromium.

Nothing here may leave the machine: every page records the addresses that it asks for, and a test fails on any
other than the demo's own.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.backend.fake_engine import FakeEngine, says
from tests.browser import clips
from tests.ui.conftest import REGISTRY
from ui.settings import ROOT

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
FAKE_MICROPHONE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
DESK, PHONE = (1280, 800), (390, 844)
START_LIMIT_S = 60
ANSWER_LIMIT_MS = 120_000


@dataclass
class Demo:
    """A running `streamlit run Home.py` and everything that it started."""

    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def child(self, module: str) -> int:
        """The process id of `python -m module` among our descendants."""
        for pid, command in descendants(self.process.pid).items():
            if f"-m {module}" in command:
                return pid
        raise AssertionError(f"no {module} is running")


@dataclass
class Visitor:
    """A person in front of the page, who says what to do in terms of the page."""

    page: playwright.Page
    demo: Demo
    asked_for: list[str] = field(default_factory=list)

    def open(self, url: str = "") -> Visitor:
        self.page.goto(url or self.demo.url)
        self.page.wait_for_selector(".st-key-start_over", timeout=START_LIMIT_S * 1000)
        self.settle()
        return self

    def settle(self) -> None:
        """Wait until the server has nothing more to say."""
        self.page.wait_for_selector('.stApp[data-test-script-state="notRunning"]', timeout=ANSWER_LIMIT_MS)
        self.page.wait_for_timeout(150)

    def press(self, key: str) -> None:
        self.page.locator(f".st-key-{key} button").first.click()

    def choose_sample(self, identifier: str, group: str) -> None:
        self.page.get_by_role("tab", name=group, exact=True).click()
        self.press(f"sample_{identifier}")
        self.clip_is("Sample")

    def upload(self, name: str, data: bytes) -> None:
        files = {"name": name, "mimeType": "application/octet-stream", "buffer": data}
        self.page.locator(".st-key-upload input[type=file]").set_input_files(files)

    def clip_is(self, text: str) -> None:
        self.page.locator(".m-clip", has_text=text).wait_for(timeout=30_000)
        self.settle()

    def ask(self, prompt: str) -> None:
        box = self.page.locator(".st-key-prompt textarea")
        box.fill(prompt)
        box.press("Control+Enter")
        self.settle()
        self.press("ask")

    def text(self, key: str) -> str:
        """What stands in a part of the page now, or "" while it is not there."""
        found = self.page.locator(f'.st-key-{key} [data-testid="stText"]')
        return found.first.inner_text() if found.count() else ""

    def answer(self) -> str:
        """The whole answer, once it has come."""
        self.page.wait_for_selector(".st-key-again", timeout=ANSWER_LIMIT_MS)
        self.settle()
        return self.text("answer_text")

    def wait_for_words(self) -> None:
        """Wait until the first words of the answer stand there."""
        self.page.locator('.st-key-answer_coming [data-testid="stText"]').wait_for(timeout=ANSWER_LIMIT_MS)

    def says(self, text: str, limit_s: float = 30) -> bool:
        """Whether the page comes to say this somewhere."""
        try:
            self.page.get_by_text(text).first.wait_for(timeout=limit_s * 1000)
        except playwright.TimeoutError:
            return False
        return True


Launch = Callable[..., Visitor]


def descendants(pid: int) -> dict[int, str]:
    """Process ids and command lines of everything that a process started."""
    parents: dict[int, tuple[int, str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(entry.name)] = (parent, command)
    found: dict[int, str] = {}
    grown = True
    while grown:
        more = {
            child: command
            for child, (parent, command) in parents.items()
            if child not in found and (parent == pid or parent in found)
        }
        found |= more
        grown = bool(more)
    return found


def start_demo(*arguments: str, **settings: str) -> Demo:
    """Start the demo as a person would, on a free port, with only these MERALION settings."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MERALION")}
    environment |= settings
    command = [sys.executable, "-m", "streamlit", "run", "Home.py", "--server.port", str(port), *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, text=True)
    demo = Demo(process, port)
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{demo.url}/_stcore/health", trust_env=False).is_success:
                return demo
        except httpx.TransportError:
            time.sleep(0.1)
    process.kill()
    raise AssertionError("the demo did not start")


def stop_demo(demo: Demo) -> None:
    """Press Ctrl-C, and see to it that everything ends."""
    demo.process.send_signal(signal.SIGINT)
    try:
        demo.process.wait(timeout=15)
    finally:
        demo.process.kill()


@pytest.fixture(scope="session")
def demo() -> Iterator[Demo]:
    running = start_demo()
    yield running
    stop_demo(running)


@pytest.fixture(scope="session")
def _fake_engine() -> Iterator[FakeEngine]:
    engine = FakeEngine("tiny")
    yield engine
    engine.shut_down()


@pytest.fixture(scope="session")
def _scripted(_fake_engine: FakeEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    registry = tmp_path_factory.mktemp("registry") / "models.toml"
    registry.write_text(REGISTRY.format(url=_fake_engine.url))
    running = start_demo(MERALION_MODELS=str(registry), MERALION_UI_LEFT_ALONE_S="1")
    yield running
    stop_demo(running)


@pytest.fixture
def engine(_fake_engine: FakeEngine) -> FakeEngine:
    """An engine that does as a test tells it."""
    _fake_engine.script.clear()
    _fake_engine.exchanges.clear()
    _fake_engine.default = says("Two ", "kopi.")
    return _fake_engine


@pytest.fixture
def scripted(_scripted: Demo, engine: FakeEngine) -> Demo:
    """The demo in front of `engine`: for what must not wait for a real model."""
    return _scripted


@pytest.fixture(scope="session")
def _playwright() -> Iterator[playwright.Playwright]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with playwright.sync_playwright() as running:
        yield running


@pytest.fixture
def launch(_playwright: playwright.Playwright) -> Iterator[Launch]:
    """A function that opens a fresh browser; afterwards, no page may have called out."""
    browsers: list[playwright.Browser] = []
    visitors: list[Visitor] = []

    def open_browser(
        at: Demo,
        *,
        size: tuple[int, int] = DESK,
        dark: bool = False,
        microphone: Path | None = None,
        arguments: tuple[str, ...] = (),
    ) -> Visitor:
        sound = (
            [*FAKE_MICROPHONE, f"--use-file-for-fake-audio-capture={microphone}%noloop"] if microphone else []
        )
        browser = _playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *sound, *arguments])
        browsers.append(browser)
        touch = size[0] < 500
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            has_touch=touch,
            is_mobile=touch,
        )
        visitor = Visitor(context.new_page(), at)
        visitor.page.on("request", lambda request: visitor.asked_for.append(request.url))
        visitors.append(visitor)
        return visitor

    yield open_browser
    for browser in browsers:
        browser.close()
    hosts = {urlsplit(url).hostname for visitor in visitors for url in visitor.asked_for}
    assert hosts - {None, ""} <= {"localhost", "demo.test"}, "a page asked for something outside this machine"


@pytest.fixture(scope="session")
def spoken() -> clips.Spoken:
    """A sentence read by a person."""
    found = clips.human()
    if found is None:
        pytest.skip("no human recordings: apt-get install pocketsphinx-testdata")
    return found
