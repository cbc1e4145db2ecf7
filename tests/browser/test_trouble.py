"""What can go wrong in front of the page, and the sentence that meets it."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.browser.clips import Spoken
from tests.browser.conftest import Launch
from tests.browser.demo import Demo, descendants, start_demo, stop_demo
from ui.language import words

pytestmark = pytest.mark.browser


def test_no_microphone(launch: Launch, scripted: Demo):
    assert launch(scripted).open().says(words("en", "ways.microphone_none"))


def test_a_microphone_that_was_refused(launch: Launch, scripted: Demo):
    visitor = launch(scripted, arguments=("--use-fake-device-for-media-stream", "--deny-permission-prompts"))
    visitor.page.context.grant_permissions([])  # everything else is refused
    assert visitor.open().says(words("en", "ways.microphone_denied"))


def test_the_microphone_on_plain_http(launch: Launch, scripted: Demo):
    demo = start_demo("--browser.serverAddress", "demo.test")
    try:
        visitor = launch(demo, arguments=("--host-resolver-rules=MAP demo.test 127.0.0.1",))
        assert visitor.open(f"http://demo.test:{demo.port}").says(words("en", "ways.microphone_insecure"))
        visitor.press("phone")  # and for the host, the cure
        assert visitor.says("put https in front of the pages")
    finally:
        stop_demo(demo)


def test_an_upload_beyond_the_limit_is_refused_at_once(launch: Launch, scripted: Demo):
    visitor = launch(scripted).open()
    visitor.upload("long.wav", bytes(30_000_000))
    assert visitor.says("This file has 29 MB, and at most 25 can be taken.")


@pytest.mark.parametrize(("name", "data"), [("notes.txt", b"nothing to hear " * 50), ("empty.mp3", b"")])
def test_a_file_without_sound_is_refused_and_the_next_is_taken(
    launch: Launch, scripted: Demo, spoken: Spoken, name: str, data: bytes
):
    visitor = launch(scripted).open()
    visitor.upload(name, data)
    visitor.page.locator('.st-key-way_upload [data-testid="stAlert"]').wait_for(timeout=5000)
    visitor.settle()
    visitor.upload("voice.wav", spoken.wav)
    visitor.clip_is("voice.wav")
    assert not visitor.page.locator('.st-key-way_upload [data-testid="stAlert"]').count()


def test_a_killed_server_leaves_no_process_behind(launch: Launch, scripted: Demo):
    demo = start_demo()
    launch(demo).open()
    children = descendants(demo.process.pid)
    assert any("-m backend" in command for command in children.values())
    demo.process.send_signal(signal.SIGKILL)
    demo.process.wait()
    deadline = time.monotonic() + 10
    while left := {pid for pid in children if command_of(pid) == children[pid]}:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
