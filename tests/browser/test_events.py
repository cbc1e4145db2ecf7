"""What events need: a screen that strangers share, opinions, recordings given, conversations taken away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.backend.fake_engine import FakeEngine, says, stalls_after
from tests.browser.conftest import PHONE, Launch
from tests.browser.demo import Demo, start_demo, stop_demo
from tests.browser.visitor import Visitor
from tests.ui.conftest import REGISTRY, tone

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ADDRESS = "https://demo.example.sg/"
IDLE_S, COUNTDOWN_S = 90, 20
SECRETS = ("private.wav", "What is private?", "Two kopi.", "half a thought")

PLAYED_TO_THE_END = """audio => new Promise((resolve, reject) => {
  audio.onended = () => resolve(audio.currentTime)
  audio.onerror = reject
  audio.play().catch(reject)
})"""


@dataclass
class Event:
    """A kiosk, and where its host keeps what visitors give."""

    demo: Demo
    folder: Path

    @property
    def feedback(self) -> list[dict[str, str]]:
        return [
            json.loads(line) for line in (self.folder / "feedback/feedback.jsonl").read_text().splitlines()
        ]

    @property
    def donated(self) -> list[Path]:
        return sorted((self.folder / "donations").glob("*.wav"))


@pytest.fixture(scope="module")
def _event(_fake_engine: FakeEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Event]:
    folder = tmp_path_factory.mktemp("event")
    (folder / "models.toml").write_text(REGISTRY.format(url=_fake_engine.url))
    demo = start_demo(
        MERALION_MODELS=str(folder / "models.toml"),
        MERALION_KIOSK="1",
        MERALION_UI_IDLE_S=str(IDLE_S),
        MERALION_UI_PUBLIC_URL=ADDRESS,
        MERALION_UI_FEEDBACK_DIR=str(folder / "feedback"),
        MERALION_UI_DONATIONS_DIR=str(folder / "donations"),
    )
    yield Event(demo, folder)
    stop_demo(demo)


@pytest.fixture
def event(_event: Event, engine: FakeEngine) -> Event:
    return _event


def at_the_kiosk(launch: Launch, event: Event) -> Visitor:
    """Somebody at the kiosk, whose clock a test can put forward."""
    visitor = launch(event.demo)
    visitor.page.clock.install()
    return visitor.open()


def with_a_clip(visitor: Visitor, prompt: str) -> Visitor:
    visitor.upload("private.wav", tone(2))
    visitor.clip_is("private.wav")
    visitor.ask(prompt)
    return visitor


def everything_on(visitor: Visitor) -> str:
    """All that can be read on the page, in fields too."""
    fields = visitor.page.evaluate(
        "[...document.querySelectorAll('input, textarea')].map((one) => one.value)"
    )
    return "\n".join([visitor.page.locator("body").inner_text(), *fields])


def test_a_kiosk_starts_over_when_its_visitor_has_left(launch: Launch, event: Event):
    visitor = with_a_clip(at_the_kiosk(launch, event), "What is private?")
    assert visitor.answer() == "Two kopi."
    other = launch(event.demo).open()
    visitor.page.locator(".st-key-prompt textarea").type("half a thought")  # and never sent
    assert all(secret in everything_on(visitor) for secret in SECRETS)
    countdown = visitor.page.locator("#m-leaving")
    visitor.page.clock.fast_forward((IDLE_S - COUNTDOWN_S + 2) * 1000)
    countdown.get_by_text("Are you still there?").wait_for()
    assert 0 < int(countdown.locator("b").inner_text()) < COUNTDOWN_S
    assert countdown.get_by_role("button").evaluate("button => button === document.activeElement")
    countdown.get_by_role("button", name="I'm still here").click()
    countdown.wait_for(state="detached")
    assert all(secret in everything_on(visitor) for secret in SECRETS)
    with visitor.page.expect_navigation():
        visitor.page.clock.fast_forward((IDLE_S + 1) * 1000)
    visitor.page.locator(".m-no-clip").wait_for()
    visitor.settle()
    assert not any(secret in everything_on(visitor) for secret in SECRETS)
    other.settle()
    assert not any(secret in everything_on(other) for secret in SECRETS)
    visitor.page.clock.fast_forward(10 * IDLE_S * 1000)
    visitor.settle()
    assert not countdown.count()  # nobody has come, so nobody has left


def test_a_kiosk_does_not_start_over_while_an_answer_comes(launch: Launch, event: Event, engine: FakeEngine):
    engine.default = stalls_after("Two ")
    visitor = with_a_clip(at_the_kiosk(launch, event), "What takes long?")
    visitor.wait_for_words()
    visitor.page.clock.fast_forward(3 * IDLE_S * 1000)
    visitor.page.wait_for_timeout(1500)  # several looks of the watch
    assert not visitor.page.locator("#m-leaving").count()
    assert visitor.text("answer_coming") == "Two"
    # On another page nothing shows that it comes, and the server knows.
    visitor.page.get_by_test_id("stTopNavLink").nth(3).click()
    visitor.page.get_by_role("heading", level=1, name="Models").wait_for()
    visitor.settle()
    visitor.page.clock.fast_forward((IDLE_S + 1) * 1000)
    visitor.page.wait_for_timeout(1500)
    visitor.settle()
    visitor.page.get_by_test_id("stTopNavLink").nth(0).click()
    visitor.page.locator(".m-clip", has_text="private.wav").wait_for()
    visitor.press("stop")


def test_start_over_at_a_kiosk_leaves_nothing_behind(launch: Launch, event: Event):
    visitor = with_a_clip(at_the_kiosk(launch, event), "What is private?")
    visitor.answer()
    visitor.page.locator(".st-key-prompt textarea").type("half a thought")
    with visitor.page.expect_navigation():
        visitor.press("start_over")
    visitor.page.locator(".m-no-clip").wait_for()
    visitor.settle()
    assert not any(secret in everything_on(visitor) for secret in SECRETS)


def test_a_kiosk_is_large_offers_less_and_shows_its_address_as_a_code(launch: Launch, event: Event):
    visitor = launch(event.demo).open()
    code = visitor.page.get_by_role("img", name=ADDRESS)
    code.wait_for()
    assert code.evaluate("image => image.complete && image.naturalWidth > 20")
    assert visitor.page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)") > 16
    assert not visitor.page.locator(".st-key-sampling").count()
    phone = launch(event.demo, size=PHONE).open()
    assert not phone.page.locator(".st-key-phone_now").is_visible()


def test_an_opinion_and_a_recording_are_given_and_taken_back(launch: Launch, event: Event):
    visitor = with_a_clip(launch(event.demo).open(), "What is ordered?")
    visitor.answer()
    visitor.page.get_by_role("button", name="Not good").click()
    visitor.page.get_by_label("What was good, or what was wrong?").fill("It was teh.")
    visitor.page.get_by_test_id("stBaseButton-secondaryFormSubmit").click()
    assert visitor.says("Thank you. Your comment was kept.")
    rating, comment = event.feedback
    assert (rating["rating"], comment["comment"]) == ("down", "It was teh.")
    assert "question" not in comment
    visitor.page.get_by_text("Give this recording to the host").click()
    give = visitor.page.get_by_role("button", name="Give the recording")
    assert give.is_disabled()
    # By its key: while the fold opens, the label moves away from under the mouse.
    visitor.page.locator(".st-key-giving [data-testid=stCheckbox] input").press("Space")
    visitor.settle()
    give.click()
    assert visitor.says("Receipt: ")
    assert len(event.donated) == 1
    visitor.press("giving_delete")
    assert visitor.says("The recording was deleted.")
    assert event.donated == []


def test_a_conversation_taken_away_is_a_page_that_needs_nothing_else(
    launch: Launch, event: Event, engine: FakeEngine, tmp_path: Path
):
    nasty = "<script>document.title = 'mine'</script><img src='https://example.com/x.png'>"
    engine.default = says(nasty)
    visitor = with_a_clip(launch(event.demo).open(), "What is nasty?")
    visitor.answer()
    visitor.page.locator(".st-key-share button").click()
    visitor.page.get_by_text("Put the sound inside").click()
    visitor.settle()
    with visitor.page.expect_download() as download:
        visitor.page.get_by_role("button", name="Web page (HTML)").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.name.startswith("meralion-")
    assert file.suffix == ".html"
    page = visitor.page.context.new_page()
    asked_for: list[str] = []
    page.on("request", lambda request: asked_for.append(request.url.partition(":")[0]))
    page.goto(file.as_uri())
    assert page.title() == "MERaLiON Playground"
    assert nasty in page.locator("main").inner_text()
    sound = page.locator("audio")
    assert sound.evaluate(PLAYED_TO_THE_END) == pytest.approx(2, abs=0.1)
    assert set(asked_for) <= {"file", "data"}
    for name, ending in (("Text (Markdown)", ".md"), ("Data (JSON)", ".json")):
        with visitor.page.expect_download() as download:
            visitor.page.get_by_role("button", name=name).click()
        assert download.value.suggested_filename.endswith(ending)
