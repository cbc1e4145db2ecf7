"""What a visitor does, in a real browser against the real engine."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from samples import wer
from tests.browser.clips import Spoken
from tests.browser.conftest import Launch
from tests.browser.demo import Demo
from ui.settings import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.engine, pytest.mark.slow]

HUMAN_LIMIT, SAMPLE_LIMIT = 0.10, 0.20  # word error rates
ATTEMPTS = 3  # this recorder loses sound when the browser gets no time, as on a busy test machine
LONG = ("sg-tour", "Singapore")  # the longest, and no other test asks about it, so that Stop comes in time


def error_rate(expected: str, got: str) -> float:
    wrong, of = wer.errors(wer.align(expected, got))
    return wrong / of


def transcript_of(identifier: str) -> str:
    manifest = json.loads((ROOT / "samples" / "manifest.json").read_text())
    return next(row["transcript"] for row in manifest["samples"] if row["id"] == identifier)


def test_a_sample_is_written_down_stopped_asked_again_and_cleared(launch: Launch, demo: Demo):
    visitor = launch(demo).open()
    visitor.choose_sample(*LONG)
    visitor.press("ask")
    visitor.wait_for_words()
    visitor.press("stop")
    kept = visitor.answer()
    visitor.press("again")
    visitor.page.wait_for_selector(".st-key-stop")
    whole = visitor.answer()
    assert 0 < len(kept) < len(whole)
    assert error_rate(transcript_of(LONG[0]), whole) <= SAMPLE_LIMIT
    assert "first word after" in visitor.page.locator(".st-key-timing").inner_text()
    visitor.press("start_over")
    visitor.page.locator(".m-no-clip").wait_for()


@pytest.mark.parametrize(
    ("name", "container", "codec", "rate"),
    [("voice.m4a", "ipod", "aac", 44_100), ("voice.webm", "webm", "libopus", 48_000)],
)
def test_an_upload_is_written_down(
    launch: Launch, demo: Demo, spoken: Spoken, name: str, container: str, codec: str, rate: int
):
    visitor = launch(demo).open()
    visitor.upload(name, spoken.encoded(container, codec, rate))
    visitor.clip_is(name)
    visitor.press("ask")
    assert error_rate(spoken.text, visitor.answer()) <= HUMAN_LIMIT


def test_a_voice_is_recorded_until_it_pauses_and_written_down(
    launch: Launch, demo: Demo, spoken: Spoken, tmp_path: Path
):
    visitor = launch(demo, microphone=spoken.at_the_microphone(tmp_path / "voice.wav")).open()
    rates = []
    for _ in range(ATTEMPTS):
        recorder = visitor.page.frame_locator(".st-key-record iframe")
        recorder.get_by_role("button", name="Record").click()
        visitor.clip_is("Your recording")  # nobody pressed Stop
        visitor.press("ask")
        rates.append(error_rate(spoken.text, visitor.answer()))
        if rates[-1] <= HUMAN_LIMIT:
            return
        visitor = launch(demo, microphone=tmp_path / "voice.wav").open()
    raise AssertionError(rates)


def test_the_simple_recorder_serves_too(launch: Launch, demo: Demo, spoken: Spoken, tmp_path: Path):
    visitor = launch(demo, microphone=spoken.at_the_microphone(tmp_path / "voice.wav")).open()
    visitor.page.locator(".st-key-simple_recorder label").click()
    visitor.settle()
    recorder = visitor.page.locator(".st-key-record")
    recorder.get_by_role("button", name="Record").click()
    visitor.page.wait_for_timeout(1000 * (len(spoken.pcm) / 16_000 + 2))
    recorder.get_by_role("button", name="Stop recording").click()
    visitor.clip_is("Your recording")
    visitor.press("ask")
    assert error_rate(spoken.text, visitor.answer()) <= HUMAN_LIMIT


@pytest.mark.parametrize(
    ("module", "sample"),  # one that no other test asks about: what is remembered is over too soon to break
    [("backend", ("st-hotel", "Standard")), ("model.embedded", ("st-lecture", "Standard"))],
)
def test_a_part_that_is_killed_is_replaced_and_told_where_it_must_be(
    launch: Launch, demo: Demo, module: str, sample: tuple[str, str]
):
    visitor = launch(demo).open()
    visitor.choose_sample(*sample)
    visitor.press("ask")
    visitor.wait_for_words()
    os.kill(demo.child(module), signal.SIGKILL)
    if module == "backend":  # an answer whose engine dies goes on in the next one, and nobody notices
        visitor.page.locator('.st-key-answer [data-testid="stAlert"]').wait_for(timeout=30_000)
        visitor.press("again")
        visitor.page.wait_for_selector(".st-key-stop", timeout=30_000)
    assert error_rate(transcript_of(sample[0]), visitor.answer()) <= SAMPLE_LIMIT
