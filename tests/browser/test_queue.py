"""Two visitors and one place: who waits sees where in the queue, and is answered in turn."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.backend.fake_engine import FakeEngine, says
from tests.browser.conftest import DESK, PHONE, Launch
from tests.browser.demo import start_demo, stop_demo
from tests.browser.test_look import SHOTS
from tests.ui.conftest import REGISTRY

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize(("size", "dark"), [(DESK, False), (PHONE, True)], ids=["desk", "phone"])
def test_who_waits_sees_the_place_in_the_queue(
    launch: Launch, engine: FakeEngine, tmp_path: Path, size: tuple[int, int], dark: bool
):
    going = threading.Event()

    async def held(exchange: Any) -> None:
        await asyncio.to_thread(going.wait, 60)
        await says("Two ", "kopi.")(exchange)

    engine.script = [held]
    (tmp_path / "models.toml").write_text(REGISTRY.format(url=engine.url))
    settings = {"MERALION_MODELS": str(tmp_path / "models.toml"), "MERALION_PLACES": "1"}
    demo = start_demo(**settings, MERALION_CACHE_STORE="none")
    try:
        first, second = launch(demo).open(), launch(demo, size=size, dark=dark).open()
        first.choose_sample("st-hotel", "Standard")
        second.choose_sample("st-lecture", "Standard")  # about the same one it would share the answer
        first.press("ask")
        first.page.wait_for_selector(".st-key-stop")
        second.press("ask")
        second.page.get_by_text("You are next in the queue.").wait_for(timeout=20_000)
        SHOTS.mkdir(exist_ok=True)
        second.page.screenshot(path=SHOTS / f"queue-{size[0]}x{size[1]}-{'dark' if dark else 'light'}.png")
        going.set()
        assert "Two kopi." in first.answer()
        assert "Two kopi." in second.answer()
    finally:
        going.set()
        stop_demo(demo)
