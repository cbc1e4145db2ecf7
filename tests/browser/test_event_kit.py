"""An evening with the event kit: a guest's browser in a network without internet, and the host beside it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.browser import hall
from tests.browser.conftest import CHROMIUM, DESK, FAKE_MICROPHONE, QUIET
from tests.browser.demo import Demo
from tests.browser.hall import Device, Hall
from tests.browser.visitor import Visitor
from tests.hosts import network

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

WHY_NOT = network.missing() or hall.missing()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.skipif(bool(WHY_NOT) and "CI" not in os.environ, reason=WHY_NOT or "all is there"),
]
IDLE_S = 8
SAMPLE = ("sl-hawker", "Singlish")

Launch = Callable[[Device], playwright.Browser]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    folder = tmp_path_factory.mktemp("hall")
    settings = {
        "MERALION_UI_IDLE_S": str(IDLE_S),
        "MERALION_UI_FEEDBACK_DIR": str(folder / "feedback"),
        "HOME": os.environ.get("HOME", "/root"),
    }
    with network.Network("hall", "guest") as joined:
        here = Hall(joined, folder, settings, joined.hosts["hall"].address)
        here.find_the_guest()
        here.start()
        yield here
        if here.kit and here.kit.poll() is None:
            assert here.stop() == 0
            assert here.processes() == []


@pytest.fixture(scope="module")
def launch(_playwright: playwright.Playwright) -> Iterator[Launch]:
    browsers: list[playwright.Browser] = []

    def begin(device: Device) -> playwright.Browser:
        assert CHROMIUM
        program = device.browser(CHROMIUM)
        browser = _playwright.chromium.launch(executable_path=program, args=[*QUIET, *FAKE_MICROPHONE])
        browsers.append(browser)
        return browser

    yield begin
    for browser in browsers:
        browser.close()


@pytest.fixture(scope="module")
def device(place: Hall, launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> Device:
    """A device whose owner has done what the trust page says: got the certificate there, and installed it."""
    mine = Device(place.network.hosts["guest"], tmp_path_factory.mktemp("guest"))
    page = launch(mine).new_page()
    page.goto(f"http://{place.address}/trust")
    page.locator("details", has_text="Windows").first.locator("summary").click()
    with page.expect_download() as coming:
        page.get_by_role("link", name="Get the certificate").locator("visible=true").first.click()
    certificate = mine.home / "ca.crt"
    coming.value.save_as(certificate)
    # Until it is trusted, the browser warns.
    with pytest.raises(playwright.Error, match="ERR_CERT_AUTHORITY_INVALID"):
        page.goto(place.url)
    mine.trust(certificate)
    return mine


@pytest.fixture(scope="module")
def browser(device: Device, launch: Launch) -> playwright.Browser:
    return launch(device)


@pytest.fixture
def arrive(place: Hall, browser: playwright.Browser) -> Iterator[Callable[..., Visitor]]:
    """A function that has somebody open the demo; afterwards, no page may have called elsewhere."""
    contexts = []
    visitors: list[Visitor] = []

    def open_page(url: str = "") -> Visitor:
        context = browser.new_context(viewport={"width": DESK[0], "height": DESK[1]}, locale="en-SG")
        contexts.append(context)
        visitor = Visitor(context.new_page(), Demo(place.kit, 443))
        visitor.page.on("request", lambda request: visitor.asked_for.append(request.url))
        visitors.append(visitor)
        if url:
            visitor.page.goto(url)
        else:
            visitor.open(place.url)
        return visitor

    yield open_page
    for context in contexts:
        context.close()
    hosts = {urlsplit(url).hostname for visitor in visitors for url in visitor.asked_for}
    assert hosts - {None, ""} <= {"10.77.1.2", "10.77.1.9"}


@pytest.fixture
def host(place: Hall, arrive: Callable[..., Visitor]) -> Visitor:
    """The host, at the host page."""
    visitor = arrive(f"{place.url}/host")
    page = visitor.page
    page.get_by_role("textbox", name="Host key").fill(place.key)
    page.get_by_role("textbox", name="Host key").press("Enter")
    page.locator(".st-key-host_desk").wait_for(timeout=30_000)
    return visitor


def press_and_confirm(host: Visitor, what: str) -> None:
    host.press(f"host_{what}")
    host.page.locator(".st-key-host_yes").wait_for()
    host.press("host_yes")


def visit_of(guest: Visitor) -> str:
    """What tells one visit from another, in the page."""
    return until_other_than(None, guest)


def until_other_than(before: str | None, guest: Visitor) -> str:
    """Wait until a guest's page is in another visit than that; which one. The page's rules forbid `eval`."""
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(playwright.Error):  # it was just being loaded anew
            visit = guest.page.evaluate("() => window.meralionKiosk?.visit ?? null")
            if visit not in (None, before):
                return str(visit)
        assert time.monotonic() < deadline, "the page stayed in its visit"
        guest.page.wait_for_timeout(100)


@contextlib.contextmanager
def in_mid_answer(place: Hall, guest: Visitor, sample: tuple[str, str]) -> Iterator[None]:
    """Ask about a sample that nobody else asks about, and hold the engine where it has said something."""
    guest.choose_sample(*sample)
    guest.press("ask")
    guest.wait_for_words()
    (engine,) = [pid for pid in place.processes() if "model.embedded" in _command(pid)]
    os.kill(engine, signal.SIGSTOP)
    try:
        assert guest.page.locator(".st-key-stop").count()
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(engine, signal.SIGCONT)


def test_a_guest_is_answered_over_https_without_internet(place: Hall, arrive: Callable[..., Visitor]):
    before = place.tried_to_leave()
    guest = arrive()
    assert guest.page.evaluate("isSecureContext")
    assert guest.page.locator("a[href$='/voice']").count()
    assert guest.page.locator("a[href*='/host']").count() == 0  # it is in no menu
    opened = "navigator.mediaDevices.getUserMedia({audio: true}).then(s => s.getAudioTracks()[0].readyState)"
    assert guest.page.evaluate(opened) == "live"
    guest.choose_sample(*SAMPLE)
    guest.press("ask")
    guest.wait_for_words()
    assert len(guest.answer().split()) > 5
    assert place.tried_to_leave() == before


def test_plain_http_leads_to_https_and_phones_that_trust_go_on_by_themselves(
    place: Hall, arrive: Callable[..., Visitor]
):
    guest = arrive(f"http://{place.address}/voice")
    guest.page.wait_for_url(f"{place.url}/voice")
    guest.page.goto(f"http://{place.address}/trust")
    guest.page.wait_for_url(f"{place.url}/")
    code = guest.page.locator(".m-qr-words")
    code.wait_for()
    assert f"{place.address}/trust" in code.inner_text()


def test_a_screen_that_is_left_is_clean_again(arrive: Callable[..., Visitor]):
    guest = arrive()
    guest.choose_sample(*SAMPLE)
    before = visit_of(guest)
    guest.page.mouse.move(300, 300)
    leaving = guest.page.locator("#m-leaving")
    leaving.wait_for(timeout=2_000 * IDLE_S)
    until_other_than(before, guest)
    guest.page.locator(".m-clip").wait_for(state="detached")


def test_only_the_host_s_key_opens_the_host_page(place: Hall, arrive: Callable[..., Visitor]):
    stranger = arrive(f"{place.url}/host")
    field = stranger.page.get_by_role("textbox", name="Host key")
    field.fill("wrong-wrong-wrong-1234")
    field.press("Enter")
    assert stranger.says("This is not the host's key")
    assert field.input_value() == ""
    assert stranger.page.locator(".st-key-host_desk").count() == 0


def test_the_host_sees_what_goes_on_and_starts_all_over(
    place: Hall, host: Visitor, arrive: Callable[..., Visitor]
):
    idle, guest = arrive(), arrive()
    visits = [visit_of(one) for one in (idle, guest)]
    answering = host.page.locator(".m-tiles div", has_text="Being answered").locator("dd")
    with in_mid_answer(place, guest, ("st-hotel", "Standard")):
        playwright.expect(answering).to_have_text("1", timeout=20_000)
        press_and_confirm(host, "start_over")
        assert host.says("All have started over.")
    for one, before in zip((idle, guest), visits, strict=True):
        until_other_than(before, one)
    assert guest.says("The host has started the demo over for everybody.")
    guest.page.locator(".m-clip").wait_for(state="detached")
    playwright.expect(answering).to_have_text("0", timeout=20_000)
    for kept in (host.page.url, host.page.content(), place.said()):
        assert place.key not in kept


def test_a_pause_is_told_to_all_and_ends(host: Visitor, arrive: Callable[..., Visitor]):
    guest = arrive()
    press_and_confirm(host, "pause")
    assert guest.says("The host has paused the demo for a moment.")
    guest.choose_sample(*SAMPLE)
    guest.press("ask")
    error = guest.page.locator('.st-key-answer [data-testid="stAlert"]')
    playwright.expect(error).to_contain_text("paused", timeout=20_000)
    host.press("host_resume")
    told = guest.page.locator('.stApp [data-testid="stAlert"]', has_text="What is on its way")
    told.wait_for(state="detached", timeout=20_000)
    guest.press("again")
    assert guest.answer()


def test_an_engine_is_started_again_from_the_host_page(place: Hall, host: Visitor):
    assert host.says("Ready")
    engines = [pid for pid in place.processes() if "model.embedded" in _command(pid)]
    host.press("host_restart_0")
    assert host.says("is being started again")
    place.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in engines))
    host.page.locator(".m-state.m-up").wait_for(timeout=60_000)


def test_a_cut_of_power_in_mid_answer_is_survived(place: Hall, arrive: Callable[..., Visitor]):
    guest = arrive()
    kept = [(place.data / name).read_bytes() for name in ("authority.crt", "host-key", "visitor-secret")]
    with in_mid_answer(place, guest, ("st-lecture", "Standard")):
        place.cut_the_power()
    place.start()
    assert kept == [
        (place.data / name).read_bytes() for name in ("authority.crt", "host-key", "visitor-secret")
    ]
    assert guest.says("the answer that was on its way is lost. Ask again", limit_s=90)
    guest.settle()
    guest.choose_sample(*SAMPLE)
    guest.press("ask")
    assert guest.answer()


def test_the_network_goes_and_comes_and_has_another_address(place: Hall, arrive: Callable[..., Visitor]):
    guest = arrive()
    guest.choose_sample(*SAMPLE)
    place.network_down()
    place.network_up()
    guest.press("ask")
    assert guest.answer()
    pids = set(place.processes())
    place.move_to("10.77.1.9")
    elsewhere = arrive()
    assert elsewhere.page.evaluate("isSecureContext")
    elsewhere.choose_sample(*SAMPLE)
    elsewhere.press("ask")
    assert elsewhere.answer()
    place.until(lambda: (place.data / "address").read_text() == "http://10.77.1.9/trust")
    assert "This machine has another address now." in place.said()
    assert pids <= set(place.processes())


def test_nothing_can_be_asked_of_caddy_or_from_behind_it(place: Hall):
    """From the guest's device only the two doors are open, and Caddy has no way in to change it."""
    guest = place.network.hosts["guest"]

    def is_open(port: int) -> bool:
        try:
            httpx.get(f"http://{place.address}:{port}/", timeout=2, trust_env=False)
        except httpx.TransportError:
            return False
        return True

    listening = place.host.do(lambda: Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:])
    ports = {int(line.split()[1].split(":")[1], 16) for line in listening if line.split()[3] == "0A"}
    assert ports
    assert [port for port in (*ports, 2019) if guest.do(lambda port=port: is_open(port))] == []
    with pytest.raises(httpx.ConnectError):
        place.host.do(lambda: httpx.get("http://127.0.0.1:2019/config/", trust_env=False))


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
