"""The report's page in a real Chromium, opened from the folder: no server, no request to anywhere else."""

from __future__ import annotations

import io
import shutil
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluation.core import Answer, Example, Score
from evaluation.report import write
from tests.evaluation.stored_runs import SYSTEMS, Published, registry, result, row, store, store_speech

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SPEECH = row("speech", 3, "LibriSpeech-Test-Clean", "wer")
QUESTIONS = row("questions", 2, "SQA", "judge")
ODD = '</script><script>document.title = "taken"</script><b>bold</b>'
FIND = """async () => {
  const found = await axe.run(document, { preload: false, resultTypes: ["violations"] })
  return found.violations.map(({ id, impact, nodes }) => [id, impact, nodes[0].html])
}"""


def silence() -> bytes:
    """Half a second of a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(bytes(16_000))
    return file.getvalue()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two systems: 120 transcripts each, some wrong; and some odd answers to questions."""
    folder = tmp_path_factory.mktemp("report")
    said = {f"clip-{place}": ("the cat sat down", "the cat sat down") for place in range(120)}
    store_speech(folder / "runs", "cascade", SPEECH, said)
    store_speech(
        folder / "runs", "ours", SPEECH, said | {"clip-7": ("the cat sat down", "the hat sat right down")}
    )
    texts = [ODD, "مرحبا بالعالم", "long " * 10_000, ""]
    answers = [Answer(f"q{place}", "Who?", "", "Ah Meng", text) for place, text in enumerate(texts)]
    answers.append(Answer("q4", "Who?", "", "Ah Meng", "", problem="The endpoint cut the stream."))
    scores = [Score(each.id, 2, not each.problem, detail={"reply": "It is wrong."}) for each in answers]
    store(folder / "runs", result("ours", QUESTIONS, 40, n=5, success_rate=0.8), answers, scores)
    examples = {"questions": [Example("q0", silence(), "", "")]}
    report = write(
        folder / "runs",
        folder,
        datasets=registry(SPEECH, QUESTIONS),
        systems=SYSTEMS,
        figures=Published(),
        examples=examples,
    )
    return report.page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(
            executable_path=CHROMIUM,
            args=["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield started
        started.close()


@pytest.fixture
def page(browser: Any, page_file: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page, open; it may complain of nothing and ask for nothing outside its folder."""
    width, scheme = getattr(request, "param", (1280, "light"))
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened = context.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(page_file.as_uri())
    opened.locator("#list > li").first.wait_for()
    yield opened
    context.close()
    assert complaints == []
    folder = page_file.parent.as_uri()
    assert [url for url in asked if not url.startswith((folder, "data:,"))] == []


def choose(page: Any, dataset: str) -> None:
    page.get_by_label("Data set").select_option(dataset)
    first = {"speech": "clip-0", "questions": "q0"}[dataset]
    playwright.expect(page.locator("#list small").first).to_have_text(first)


def test_clips_are_filtered_sorted_found_and_opened(page: Any):
    status, rows = page.get_by_role("status"), page.locator("#list > li")
    choose(page, "speech")
    assert (status.inner_text(), rows.count()) == ("240 answers", 50)
    page.get_by_role("button", name="Next").click()
    assert page.locator("#where").inner_text() == "Page 2 of 5"
    page.get_by_role("button", name="Wrong (1)").click()
    assert (status.inner_text(), rows.count()) == ("1 of 240 answers", 1)
    button = rows.get_by_role("button", name="clip-7")
    assert button.get_attribute("aria-expanded") == "false"
    button.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    assert page.locator(".compared ins").all_text_contents() == [" added: hat", " added: right"]
    assert page.locator(".compared del").all_text_contents() == [" missing: cat"]
    assert "What other systems answered" in rows.inner_text()
    assert "The sound of this clip is not part of this report." in rows.inner_text()
    page.get_by_role("button", name="All (240)").click()
    page.get_by_label("Sort by").select_option("worst")
    assert "clip-7" in rows.first.inner_text()
    page.get_by_label("System").select_option("cascade")
    assert status.inner_text() == "120 answers"
    page.get_by_label("Find text").fill("CLIP-11")
    playwright.expect(status).to_have_text("11 answers")
    page.locator("#measured a").filter(has_text="questions").click()
    playwright.expect(status).to_have_text("No answer fits these filters.")
    assert page.get_by_label("System").input_value() == "ours"


def test_odd_answers_stay_text_and_long_ones_are_shortened(page: Any):
    choose(page, "questions")
    rows = page.locator("#list > li")
    for place in range(5):
        rows.nth(place).locator(".open").click()
    assert page.title() == "Evaluation report"
    assert rows.locator(".text b").count() == 0
    assert ODD in rows.nth(0).inner_text()
    assert rows.nth(0).locator("audio").evaluate("audio => audio.play().then(() => audio.duration)") == 0.5
    assert (
        rows.nth(1).get_by_text("مرحبا بالعالم").last.evaluate("one => getComputedStyle(one).direction")
        == "rtl"
    )
    assert len(rows.nth(2).inner_text()) < 2_000
    rows.nth(2).get_by_role("button", name="Show all (50,000 characters)").click()
    assert len(rows.nth(2).inner_text()) > 49_000
    assert "(an empty answer)" in rows.nth(3).inner_text()
    assert "The endpoint cut the stream." in rows.nth(4).inner_text()
    assert "It is wrong." in rows.nth(0).inner_text()


@pytest.mark.parametrize("page", [(1280, "light"), (390, "dark")], indirect=True)
def test_nobody_is_kept_out(page: Any):
    axe = pytest.importorskip("axe_playwright_python.base", reason="axe is not installed")
    page.locator("#list .open").first.click()
    for summary in page.locator("summary").all():
        summary.click()
    page.evaluate(axe.AXE_SCRIPT + "; true")
    assert page.evaluate(FIND) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
