"""The benchmark of the pages meets the pages: a visit over the websocket goes to its end."""

from __future__ import annotations

import asyncio
import random
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks import visitors
from benchmarks.load import processes
from benchmarks.load.browser import Browser
from ui.language import words

pytestmark = pytest.mark.slow


def test_a_visit_goes_to_its_end_and_languages_are_chosen(tmp_path: Path):
    async def choose_malay(url: str) -> str:
        async with Browser(url) as browser:
            await browser.open()
            await browser.enter("language", "Bahasa Melayu")
            await browser.open("voice")
            return browser.labels["start_over"]

    seen = visitors.Seen()
    with ExitStack() as stack:
        _, url = visitors.pages_of(stack, tmp_path, stack.enter_context(processes.mock()))
        asyncio.run(visitors.visit(url, seen, random.Random(0), 1))
        assert asyncio.run(choose_malay(url)) == words("ms", "frame.start_over")
    assert seen.troubles == []
    assert len(seen.first_words) == visitors.QUESTIONS
    assert sum(map(len, seen.runs.values())) > 20
