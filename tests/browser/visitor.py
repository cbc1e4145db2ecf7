"""A person in front of the page."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tests.browser.demo import START_LIMIT_S, Demo

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ANSWER_LIMIT_MS = 120_000


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
        # Twice, since a component's first word (the microphone probe's, say) starts another run.
        for _ in range(2):
            self.page.wait_for_selector(
                '.stApp[data-test-script-state="notRunning"]', timeout=ANSWER_LIMIT_MS
            )
            self.page.wait_for_timeout(200)

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

    def top_of(self, key: str) -> float:
        """How far below the top of the screen a part of the page begins, in pixels."""
        box = self.page.locator(f".st-key-{key}").bounding_box()
        assert box
        return box["y"]

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
