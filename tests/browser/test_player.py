"""The player, on a page of its own: two clips and their transcripts (player_page.py)."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.browser.conftest import PHONE, Launch
from tests.browser.demo import START_LIMIT_S, Demo, stop_demo
from tests.browser.visitor import Visitor
from ui.settings import ROOT

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def players() -> Iterator[Demo]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "tests/browser/player_page.py"]
    command += ["--server.port", str(port), "--server.headless", "true"]
    running = Demo(subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, text=True), port)
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        try:
            if httpx.get(f"{running.url}/_stcore/health", trust_env=False).is_success:
                break
        except httpx.TransportError:
            assert time.monotonic() < deadline, "the page did not start"
            time.sleep(0.1)
    yield running
    stop_demo(running)


class Listener:
    """A person with one of the players under the hand."""

    def __init__(self, visitor: Visitor, name: str = "one") -> None:
        self.visitor, self.page, self.name = visitor, visitor.page, name
        self.part = self.page.locator(f".st-key-{name}")
        self.stage = self.part.get_by_role("slider")

    def play(self) -> None:
        self.part.locator(".play").click()

    def at(self) -> float:
        """Where the sound is, in seconds."""
        return self.part.locator("audio").evaluate("audio => audio.currentTime")

    def playing(self) -> bool:
        return self.part.locator("audio").evaluate("audio => !audio.paused")

    def reaches(self, seconds: float) -> None:
        self.page.wait_for_function(
            "([name, at]) => document.querySelector(`.st-key-${name} audio`)?.currentTime >= at",
            arg=[self.name, seconds],
            timeout=15_000,
        )

    def seek(self, share: float) -> None:
        """Click at a part of the width of the picture."""
        box = self.stage.bounding_box()
        assert box
        self.stage.click(position={"x": box["width"] * share, "y": box["height"] / 2})

    def set(self, key: str) -> None:
        self.page.locator(f".st-key-{key} label").first.click()
        self.visitor.settle()

    def words_spoken(self) -> list[str]:
        return self.page.locator(".m-now").all_inner_texts()


@pytest.fixture
def listener(launch: Launch, players: Demo) -> Listener:
    return open_page(launch(players))


def open_page(visitor: Visitor) -> Listener:
    visitor.page.goto(visitor.demo.url)
    visitor.page.locator(".st-key-two .stage").wait_for(timeout=START_LIMIT_S * 1000)
    visitor.settle()
    return Listener(visitor)


def test_it_plays_and_pauses_and_says_the_time(listener: Listener):
    assert listener.part.locator(".end").inner_text() == "0:12"
    assert not listener.part.locator("audio").is_visible()
    listener.part.get_by_role("button", name="Play").click()
    listener.reaches(1.2)
    assert listener.part.locator(".now").inner_text() == "0:01"
    listener.part.get_by_role("button", name="Pause").click()
    stopped = listener.at()
    listener.page.wait_for_timeout(300)
    assert listener.at() == stopped
    played = listener.stage.evaluate("stage => parseFloat(stage.style.getPropertyValue('--at'))")
    assert played == pytest.approx(100 * stopped / 12, abs=0.1)


def test_a_click_or_a_drag_goes_there(listener: Listener):
    listener.seek(0.5)
    assert listener.at() == pytest.approx(6, abs=0.1)
    assert not listener.playing()
    box = listener.stage.bounding_box()
    assert box
    mouse, middle = listener.page.mouse, box["y"] + box["height"] / 2
    mouse.move(box["x"] + box["width"] * 0.5, middle)
    mouse.down()
    mouse.move(box["x"] + box["width"] * 0.75, middle, steps=5)
    assert listener.part.locator(".now").inner_text() == "0:09"
    assert listener.at() == pytest.approx(6, abs=0.1)  # not before it is let go
    mouse.up()
    assert listener.at() == pytest.approx(9, abs=0.1)
    mouse.move(box["x"] + box["width"] * 0.25, middle)
    assert listener.part.locator(".over").inner_text() == "0:03"


def test_a_place_far_into_a_long_clip_is_fetched_alone(listener: Listener):
    long = Listener(listener.visitor, "two")
    long.seek(0.9)
    long.play()
    long.reaches(270.5)
    assert long.part.locator(".now").inner_text() == "4:30"


def test_keys_do_what_the_hand_does(listener: Listener):
    listener.stage.focus()
    for key, place in [
        ("ArrowRight", 1),
        ("ArrowUp", 2),
        ("ArrowLeft", 1),
        ("PageUp", 2.2),
        ("End", 12),
        ("ArrowDown", 11),
        ("Home", 0),
    ]:
        listener.page.keyboard.press(key)
        assert listener.at() == pytest.approx(place, abs=0.05), key
    listener.page.keyboard.press("ArrowRight")
    stated = {
        name: listener.stage.get_attribute(f"aria-{name}") for name in ("valuenow", "valuetext", "label")
    }
    assert stated == {"valuenow": "1.0", "valuetext": "0:01 of 0:12", "label": "Position in the clip"}
    listener.page.keyboard.press(" ")
    listener.reaches(1.2)
    listener.page.keyboard.press("Tab")
    listener.page.keyboard.press(" ")
    assert not listener.playing()
    long = Listener(listener.visitor, "two")
    long.stage.press("ArrowRight")
    assert long.at() == pytest.approx(5, abs=0.05)


def test_the_spectrogram_is_another_view_of_the_same(listener: Listener):
    listener.part.get_by_role("tab", name="Spectrogram").click()
    picture = listener.part.locator(".spectrogram")
    assert picture.is_visible()
    assert not listener.part.locator(".rest").is_visible()
    assert picture.evaluate("image => image.naturalWidth") > 100
    listener.seek(0.25)
    assert listener.at() == pytest.approx(3, abs=0.1)
    listener.part.get_by_role("tab", name="Spectrogram").press("ArrowLeft")
    assert listener.part.get_by_role("tab", name="Waveform").get_attribute("aria-selected") == "true"
    assert listener.part.locator(".rest").is_visible()


def test_the_speed_goes_round(listener: Listener):
    button = listener.part.locator(".speed")
    for speed in (1.25, 1.5, 0.75, 1):
        button.click()
        assert button.inner_text() == f"{speed}×"
        assert listener.part.locator("audio").evaluate("audio => audio.playbackRate") == speed


def test_playing_goes_on_through_reruns(listener: Listener):
    listener = Listener(listener.visitor, "two")  # long enough for a machine that is busy with other things
    listener.part.locator(".speed").click()
    listener.play()
    listener.reaches(0.3)
    listener.visitor.press("rerun")
    listener.visitor.settle()
    listener.set("above")  # everything below moves down
    listener.set("chinese")
    assert listener.playing()
    before = listener.at()
    assert before > 1
    listener.reaches(before + 0.5)
    assert listener.part.locator("audio").evaluate("audio => audio.playbackRate") == 1.25
    listener.part.get_by_role("button", name="暂停").click()
    assert not listener.playing()
    assert listener.stage.get_attribute("aria-valuetext").startswith("5:00 之 0:0")
    stopped = listener.at()
    listener.set("above")
    assert listener.at() == stopped


def test_playing_goes_on_while_the_page_above_comes_and_goes(listener: Listener):
    listener.play()
    listener.reaches(0.3)
    for pause_ms in range(100, 700, 100):  # Streamlit draws the player anew, or does not, as the runs fall
        listener.page.locator(".st-key-above label").first.click()
        listener.page.wait_for_timeout(pause_ms)
    listener.visitor.settle()
    before = listener.at()
    assert listener.playing()
    assert before > 1
    listener.reaches(before + 0.3)


def test_an_audio_element_that_is_replaced_goes_on_where_it_was(listener: Listener):
    listener.play()
    listener.reaches(1)
    listener.part.locator("audio").evaluate(
        "old => old.replaceWith(Object.assign(document.createElement('audio'), { src: old.src }))"
    )
    listener.reaches(1.5)
    assert listener.playing()
    listener.part.get_by_role("button", name="Pause").click()
    assert not listener.playing()


def test_another_clip_begins_at_its_start(listener: Listener):
    listener.seek(0.5)
    listener.play()
    listener.set("another")
    playwright.expect(listener.part.locator(".end")).to_have_text("0:07")
    assert not listener.playing()
    assert listener.part.locator(".now").inner_text() == "0:00"
    listener.play()
    listener.reaches(0.3)
    assert listener.at() < 2


def test_what_was_read_and_what_is_marked_is_shown(listener: Listener):
    assert not listener.part.locator(".read").is_visible()
    box = listener.page.locator(".st-key-read input")
    box.fill("6")
    box.press("Enter")
    listener.visitor.settle()
    listener.page.wait_for_timeout(500)  # it grows softly
    widths = "part => part.offsetWidth / part.parentElement.offsetWidth"
    assert listener.part.locator(".read i").evaluate(widths) == pytest.approx(0.5, abs=0.01)
    mark = listener.part.locator(".marks i")
    assert mark.evaluate(widths) == pytest.approx(0.25, abs=0.01)  # from 3 s to 6 s of 12
    assert mark.evaluate("part => part.offsetLeft / part.parentElement.offsetWidth") == pytest.approx(
        0.25, abs=0.01
    )


def test_a_transcript_plays_and_is_followed(listener: Listener):
    listener.page.get_by_role("button", name="one <b>teh</b>").click()
    listener.reaches(2.3)
    assert listener.playing()
    assert listener.words_spoken() == ["one <b>teh</b>"]
    listener.seek(0.5)
    listener.reaches(6.2)
    assert listener.words_spoken() == ["and kaya toast."]
    listener.seek(0.9)  # after the last words
    listener.reaches(11)
    assert listener.words_spoken() == []


def test_starting_one_pauses_the_other(listener: Listener):
    long = Listener(listener.visitor, "two")
    listener.play()
    listener.reaches(0.3)
    listener.page.get_by_role("button", name="From the fourth minute").click()
    long.reaches(240.3)
    assert not listener.playing()
    assert listener.part.get_by_role("button", name="Play").count() == 1
    listener.play()
    assert listener.playing()
    assert not long.playing()


def test_a_clip_that_is_gone_says_so(launch: Launch, players: Demo):
    visitor = launch(players)
    visitor.page.route("**/media/*", lambda route: route.fulfill(status=404))
    listener = open_page(visitor)
    playwright.expect(listener.part.get_by_role("status")).to_contain_text("cannot be played now")


def test_fingers_have_room(launch: Launch, players: Demo):
    listener = open_page(launch(players, size=PHONE))
    assert listener.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    for button in listener.part.locator("button").all():
        box = button.bounding_box()
        assert box
        assert box["height"] >= 44
    listener.stage.tap()
    assert listener.at() == pytest.approx(6, abs=0.1)
    listener.part.locator(".play").tap()
    listener.reaches(6.3)
