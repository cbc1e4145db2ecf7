"""The Model Picker in a browser: choose a model for the Playground; compare two and find them again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backend.fake_engine import FakeEngine, says, stalls_after
from tests.browser.conftest import DESK, PHONE, Launch
from tests.browser.demo import Demo, start_demo, stop_demo
from tests.browser.test_look import SHOTS
from tests.ui.conftest import REGISTRY, tone

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OTHER = REGISTRY.replace("[tiny", "[other").replace('"Tiny"', '"Other"').replace("default = true", "")
SAID = "Uncle, one chicken rice and one char kway teow, no cockles, can?"
HEARD = "Uncle, one chicken rice and one char kway tau, no cockles can lah?"


@pytest.fixture(scope="module")
def _other() -> Iterator[FakeEngine]:
    engine = FakeEngine("other")
    yield engine
    engine.shut_down()


@pytest.fixture(scope="module")
def _two(
    _fake_engine: FakeEngine, _other: FakeEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Demo]:
    registry = tmp_path_factory.mktemp("registry") / "models.toml"
    registry.write_text(REGISTRY.format(url=_fake_engine.url) + OTHER.format(url=_other.url))
    running = start_demo(MERALION_MODELS=str(registry), MERALION_CACHE_STORE="none")
    yield running
    stop_demo(running)


@pytest.fixture
def two(_two: Demo, engine: FakeEngine, _other: FakeEngine) -> Demo:
    """The demo before two engines that hear nearly the same."""
    engine.default = says(*[f"{word} " for word in SAID.split()], gap_s=0.02)
    _other.default = says(*[f"{word} " for word in HEARD.split()], gap_s=0.02)
    _other.exchanges.clear()
    return _two


def test_a_model_is_chosen_with_the_keyboard_and_answers_on_the_playground(
    launch: Launch, two: Demo, _other: FakeEngine
):
    visitor = launch(two).open(f"{two.url}/models")
    assert visitor.page.get_by_text("Page not found").count() == 0
    more = visitor.page.locator(".st-key-pick_other summary")
    more.click()
    button = visitor.page.locator(".st-key-choose_other button")
    button.focus()
    button.press("Enter")
    visitor.page.locator(".st-key-choose_other", has_text="Answers on all pages").wait_for()
    visitor.page.wait_for_timeout(4_000)  # the cards look again meanwhile, and take neither place nor focus
    assert visitor.page.evaluate("document.activeElement.closest('.st-key-choose_other') !== null")
    assert visitor.page.locator(".st-key-pick_other details").get_attribute("open") is not None
    visitor.page.get_by_role("link", name="Playground").first.click()
    visitor.page.get_by_role("heading", name="MERaLiON Playground").wait_for()
    visitor.settle()
    visitor.upload("private.wav", tone(2))
    visitor.clip_is("private.wav")
    visitor.press("ask")
    visitor.page.get_by_text(HEARD).first.wait_for(timeout=30_000)
    assert [exchange.json["model"] for exchange in _other.exchanges] == ["other"]


@pytest.mark.parametrize(("size", "dark"), [(DESK, False), (PHONE, True)], ids=["desk", "phone"])
def test_two_are_compared_and_a_link_brings_them_back(
    launch: Launch, two: Demo, size: tuple[int, int], dark: bool
):
    link = f"{two.url}/models?clip=sl-hawker&prompt=Please+transcribe+this.&models=tiny,other"
    visitor = launch(two, size=size, dark=dark).open(link)
    visitor.clip_is("Lunch at the hawker centre")
    visitor.press("ask")
    visitor.page.locator(".st-key-agreed").wait_for(timeout=30_000)
    visitor.settle()
    marks = visitor.page.locator(".st-key-answer_1 mark").all_inner_texts()
    assert marks[0].split()[-1] == "teow"
    assert visitor.page.get_by_text("a word error rate of").count() == 2
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= size[0]
    visitor.page.locator(".st-key-answers").scroll_into_view_if_needed()
    SHOTS.mkdir(exist_ok=True)
    name = f"{size[0]}x{size[1]}-{'dark' if dark else 'light'}"
    visitor.page.screenshot(path=SHOTS / f"compared-{name}.png")
    copy = visitor.page.locator(".st-key-copy_link")
    copy.get_by_role("button").click()  # without leave to write to the clipboard the link is shown
    shown = copy.get_by_role("textbox").or_(copy.get_by_role("status")).first
    shown.wait_for()
    assert copy.get_by_role("textbox", include_hidden=True).input_value() == link
    visitor.page.reload()
    visitor.clip_is("Lunch at the hawker centre")
    assert visitor.page.locator(".st-key-prompt textarea").input_value() == "Please transcribe this."


@pytest.mark.engine
def test_the_cascade_and_the_small_audio_model_answer_side_by_side(launch: Launch, demo: Demo):
    both = "whisper-base-smollm2,meralion-mini"
    link = f"{demo.url}/models?clip=sl-hawker&prompt=Please+transcribe+this.&models={both}"
    visitor = launch(demo).open(link)
    visitor.clip_is("Lunch at the hawker centre")
    visitor.press("ask")
    visitor.page.locator(".st-key-agreed").wait_for(timeout=120_000)
    visitor.settle()
    for number, title in ((1, "Whisper base + SmolLM2"), (2, "MERaLiON-Mini")):
        answer = visitor.page.locator(f".st-key-answer_{number}").inner_text()
        assert answer.startswith(title) and "a word error rate of" in answer


def test_stop_ends_all_and_keeps_what_came(launch: Launch, two: Demo, engine: FakeEngine, _other: FakeEngine):
    engine.default = _other.default = stalls_after("Two ")
    visitor = launch(two).open(f"{two.url}/models?clip=sl-kopi&prompt=What+is+stopped&models=tiny,other")
    visitor.clip_is("Sample")
    visitor.press("ask")
    for number in (1, 2):
        visitor.page.locator(f".st-key-words_{number}", has_text="Two").wait_for(timeout=30_000)
    visitor.press("stop")
    visitor.page.locator(".st-key-ask").wait_for()
    visitor.settle()
    assert visitor.page.get_by_text("Stopped. This is what had come.").count() == 2
    assert engine.exchanges[-1].left.wait(5)
    assert _other.exchanges[-1].left.wait(5)
