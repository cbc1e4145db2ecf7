"""The pages for everyone: in four languages, by day and by night, on a phone, and with a screen reader.

On its way it takes the pictures of the contact sheet: MERALION_SHOTS=docs writes docs/contact-sheet.png,
otherwise all go to tests/browser/shots, outside git.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.base import AXE_SCRIPT

from tests.browser.clips import Spoken
from tests.browser.conftest import DESK, PHONE, Launch
from tests.browser.contact_sheet import contact_sheet, shot
from tests.browser.demo import Demo
from tests.browser.visitor import Visitor
from tests.ui.conftest import tone
from ui.language import NAMES, words
from ui.settings import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SHOTS = Path(__file__).parent / "shots"
FOR_DOCS = os.environ.get("MERALION_SHOTS") == "docs"
PAGES = ("playground", "voice", "cascade", "models")
SERIOUS = ("serious", "critical")
# Streamlit's own, which no page can mend: each with the rule that it breaks and why it may stay.
EXCUSED: dict[str, tuple[str, ...]] = {
    # The uploader's hidden input, which nobody reaches (tabindex -1): its button has the name.
    "label": ("stFileUploaderDropzoneInput",),
}
ALL_RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
COLOURS = ("color-contrast", "link-in-text-block")
# Between day and night nothing changes but colours.
SCHEMES: tuple[tuple[Literal["light", "dark"], tuple[str, ...]], ...] = (
    ("light", ALL_RULES),
    ("dark", COLOURS),
)
FIND = """async (runOnly) => {
  const found = await axe.run(document, { resultTypes: ["violations"], runOnly })
  return found.violations.map(({ id, impact, nodes }) => ({
    id, impact,
    nodes: nodes.map((node) => [node.target.join(" "), node.html.slice(0, 200), node.failureSummary]),
  }))
}"""


def violations(visitor: Visitor, rules: tuple[str, ...]) -> list[str]:
    """What axe finds that keeps people out, one line an element."""
    if not visitor.page.evaluate("!!window.axe"):
        visitor.page.evaluate(AXE_SCRIPT + "; true")
    found: list[dict[str, Any]] = visitor.page.evaluate(FIND, list(rules))
    return [
        f"{rule['id']}: {html} ({summary})"
        for rule in found
        if rule["impact"] in SERIOUS
        for target, html, summary in rule["nodes"]
        if not any(part in target or part in html for part in EXCUSED.get(rule["id"], ()))
    ]


def go_to(visitor: Visitor, page: str, code: str) -> None:
    visitor.page.get_by_test_id("stTopNavLink").filter(has_text=words(code, f"menu.{page}")).first.click()
    visitor.page.get_by_role("heading", level=1, name=words(code, f"{page}.title")).wait_for()
    visitor.settle()


def take_pictures(visitor: Visitor, page: str, code: str, scheme: str) -> None:
    for width, height in (DESK, PHONE):
        visitor.page.set_viewport_size({"width": width, "height": height})
        visitor.page.wait_for_timeout(300)  # what is drawn by script is drawn anew
        visitor.page.screenshot(path=shot(SHOTS, page, code, width, scheme))
    visitor.page.set_viewport_size({"width": DESK[0], "height": DESK[1]})


@pytest.mark.engine
@pytest.mark.parametrize("code", NAMES)
def test_nobody_is_kept_out(launch: Launch, demo: Demo, code: str, tmp_path: Path, spoken: Spoken):
    SHOTS.mkdir(exist_ok=True)
    microphone = spoken.at_the_microphone(tmp_path / "voice.wav")
    visitor = launch(demo, locale=f"{code}-SG", microphone=microphone).open()
    visitor.press("sample_st-recipe")
    visitor.page.locator(".m-clip").wait_for()
    visitor.settle()
    visitor.press("task_transcribe")
    visitor.settle()
    visitor.press("ask")
    assert visitor.answer()
    assert visitor.page.evaluate("document.documentElement.lang") == code
    found: list[str] = []
    for page in PAGES:
        go_to(visitor, page, code)
        if page == "cascade":
            visitor.press("ask")
            visitor.answer()
        for scheme, rules in SCHEMES:
            visitor.page.emulate_media(color_scheme=scheme)
            visitor.page.wait_for_timeout(300)  # colours change over a moment
            found += [f"{page}, {scheme}: {line}" for line in violations(visitor, rules)]
            take_pictures(visitor, page, code, scheme)
    assert not found, "\n".join(found)


def test_the_pictures_go_on_one_sheet():
    try:
        sheet = contact_sheet(SHOTS, PAGES, NAMES, (DESK[0], PHONE[0]))
    except FileNotFoundError as error:
        pytest.skip(f"a picture was not taken: {error.filename}")
    sheet.save(SHOTS / "contact-sheet.png", optimize=True)
    assert (SHOTS / "contact-sheet.png").stat().st_size < 1.5e6
    if FOR_DOCS:
        sheet.save(ROOT / "docs" / "contact-sheet.png", optimize=True)


def test_on_a_phone_every_page_is_one_tap_away(launch: Launch, scripted: Demo):
    visitor = launch(scripted, size=PHONE, locale="ta-SG").open()
    links = visitor.page.locator(".st-key-phone_menu a")
    assert links.all_inner_texts()[0].endswith(words("ta", "menu.playground"))
    boxes = [link.bounding_box() for link in links.all()]
    assert len(boxes) == len(PAGES)
    assert all(box and box["height"] >= 44 and box["x"] + box["width"] <= PHONE[0] for box in boxes)
    for place, page in reversed(list(enumerate(PAGES))):
        links.nth(place).click()
        visitor.page.get_by_role("heading", level=1, name=words("ta", f"{page}.title")).wait_for()
        visitor.settle()
        assert visitor.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0], page


def test_another_language_is_one_choice_away_and_leaves_the_work_alone(launch: Launch, scripted: Demo):
    visitor = launch(scripted).open()
    visitor.upload("clip.wav", tone(2))
    visitor.clip_is("clip.wav")
    visitor.page.locator(".st-key-language [role=combobox]").click()
    visitor.page.get_by_role("option", name=NAMES["ms"]).click()
    visitor.page.get_by_role("heading", level=1, name=words("ms", "playground.title")).wait_for()
    visitor.settle()
    assert visitor.page.evaluate("document.documentElement.lang") == "ms"
    assert visitor.page.locator(".m-clip", has_text="clip.wav").count()
    assert (
        visitor.page.get_by_test_id("stTopNavLink")
        .first.inner_text()
        .endswith(words("ms", "menu.playground"))
    )
