"""How long the voice chat takes from the last word said to the first sound of its answer, in a real Chromium.

python -m benchmarks.voice --turns 4

It starts the demo as a visitor meets it, speaks by WebRTC in the hands-free mode, interrupts the first answer
and reads off what the page tells of each turn. What it says was made by the demo's own voice.
"""

import argparse
import time

from playwright.sync_api import sync_playwright

from benchmarks.report import save
from tests.browser.conftest import CHROMIUM, FAKE_MICROPHONE, QUIET
from tests.browser.demo import Demo, start_demo, stop_demo
from tests.browser.microphone import STAND_IN, Talk
from ui.client import Client, new_http
from ui.connection import wait_until_up
from ui.local_backend import LocalBackend
from ui.settings import ROOT
from ui.visitor import Visitor, new_name

HEAD = ["said", "what the page tells"]
SAID = (
    "Hello! How are you today?",
    "What is the capital of France?",
    "Can you tell me a fun fact about cats?",
    "Why is the sky blue?",
)


def said() -> list[bytes]:
    """Have what the visitor will say read aloud."""
    backend = LocalBackend(ROOT, start_timeout_s=60)
    try:
        with new_http() as http:
            client = Client(backend.url, Visitor(new_name(), backend.secret), http, local=True)
            wait_until_up(client, "kokoro-82m")
            return [client.speak(text, "kokoro-82m", "am_michael") for text in SAID]
    finally:
        backend.close()


def talk(demo: Demo, clips: list[bytes], turns: int) -> list[str]:
    """Talk for so many turns; return what the page says of each."""
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *FAKE_MICROPHONE])
        page = browser.new_page()
        page.add_init_script(STAND_IN)
        page.goto(demo.url)
        page.get_by_role("link", name="Voice chat").first.click()
        page.locator(".st-key-voice_controls").wait_for()
        time.sleep(15)  # the models load, and all is idle again
        visitor = Talk(page)
        visitor.begin()
        time.sleep(2)
        number = 0
        for turn in range(turns):
            visitor.say(clips[turn % len(clips)])
            number = visitor.wait_for_sound(after=number)["number"]
            if turn > 0:  # the first answer is interrupted by the second question
                visitor.wait_for("listening")
                time.sleep(1)
        lines = visitor.timings()[::-1]
        browser.close()
        return lines


def main() -> None:
    """Measure and write benchmarks/results/voice.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--turns", type=int, default=4)
    turns = parser.parse_args().turns
    clips = said()
    demo = start_demo()
    try:
        lines = talk(demo, clips, turns)
    finally:
        stop_demo(demo)
    note = (
        "What the page tells each visitor; the last part ends when the browser says that the sound began. "
        "The first answer was interrupted by the second question."
    )
    rows = [[SAID[number % len(SAID)], line] for number, line in enumerate(lines)]
    command = f"python -m benchmarks.voice --turns {turns}"
    save("voice", "From the last word said to the first sound of the answer", command, HEAD, rows, note)


if __name__ == "__main__":
    main()
