"""Pictures of the page for people to look at; the one in the README is made here.

MERALION_SHOTS=docs writes docs/playground.png; otherwise everything goes to tests/browser/shots, outside git.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.browser.clips import Spoken
from tests.browser.conftest import DESK, PHONE, Launch
from tests.browser.demo import Demo
from ui.settings import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.engine, pytest.mark.slow]

SHOTS = Path(__file__).parent / "shots"
FOR_DOCS = os.environ.get("MERALION_SHOTS") == "docs"
WHOLE_PHONE = (390, 2400)  # the page scrolls inside itself, so a tall screen shows all of it


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE, WHOLE_PHONE], ids=["1280", "390", "390-whole"])
def test_pictures(
    launch: Launch, demo: Demo, spoken: Spoken, tmp_path: Path, size: tuple[int, int], dark: bool
):
    microphone = spoken.at_the_microphone(tmp_path / "voice.wav")
    visitor = launch(demo, size=size, dark=dark, microphone=microphone).open()
    name = f"{size[0]}x{size[1]}-{'dark' if dark else 'light'}"
    SHOTS.mkdir(exist_ok=True)
    visitor.page.screenshot(path=SHOTS / f"first-{name}.png")
    visitor.choose_sample("sg-meeting", "Singapore")
    visitor.press("task_answer")
    visitor.settle()
    visitor.ask("What is the problem with the app?")
    assert visitor.answer()
    visitor.page.screenshot(path=SHOTS / f"answer-{name}.png")
    if FOR_DOCS and size == DESK and not dark:
        (ROOT / "docs").mkdir(exist_ok=True)
        visitor.page.screenshot(path=ROOT / "docs" / "playground.png")
