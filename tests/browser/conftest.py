"""The whole demo as its visitors meet it: `streamlit run Home.py`, the real engine, a real Chromium.

Nothing here may leave the machine: every page records the addresses that it asks for, and a test fails on any
other than the demo's own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.backend.fake_engine import FakeEngine, says
from tests.browser import clips
from tests.browser.demo import Demo, start_demo, stop_demo
from tests.browser.visitor import Visitor
from tests.ui.conftest import REGISTRY

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


Launch = Callable[..., Visitor]


@pytest.fixture(scope="package")
def demo() -> Iterator[Demo]:
    running = start_demo()
    yield running
    stop_demo(running)


@pytest.fixture(scope="package")
def _fake_engine() -> Iterator[FakeEngine]:
    engine = FakeEngine("tiny")
    yield engine
    engine.shut_down()


@pytest.fixture(scope="package")
def _scripted(_fake_engine: FakeEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    registry = tmp_path_factory.mktemp("registry") / "models.toml"
    registry.write_text(REGISTRY.format(url=_fake_engine.url))
    settings = {"MERALION_BREAKER_OPEN_S": "0.1", "MERALION_UI_LEFT_ALONE_S": "1"}
    running = start_demo(MERALION_MODELS=str(registry), **settings)
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


@pytest.fixture(scope="package")
def _playwright() -> Iterator[playwright.Playwright]:
    # Ended with this folder: its event loop would run on under the tests of other folders.
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
        locale: str = "en-SG",
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
            locale=locale,
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


@pytest.fixture(scope="package")
def spoken() -> clips.Spoken:
    """A sentence read by a person."""
    found = clips.human()
    if found is None:
        pytest.skip("no human recordings: apt-get install pocketsphinx-testdata")
    return found
