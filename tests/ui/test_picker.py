"""The Model Picker as a visitor uses it: two models before two engines, and a third that nobody started."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.backend.fake_engine import FakeEngine, breaks_after, refuses, says
from tests.ui.conftest import REGISTRY, tone
from ui.language import words
from ui.local_backend import LocalBackend
from ui.picker.state import FREELY, MOST, PickerState
from ui.settings import ROOT, settings
from ui.speed import SPEEDS
from ui.tasks import FIRST, MAX_PROMPT_CHARACTERS

OTHER = REGISTRY.replace("[tiny", "[other").replace('"Tiny"', '"Other"').replace("default = true", "")
AWAY = OTHER.replace("[other", "[away").replace('"Other"', '"Away"')
VOICE = """
[voice]
title = "Voice"
sentence = "Reads aloud."
kind = "speech"
engine = "openai"
instances = ["{url}"]
licence = "MIT"

[voice.capabilities]
speech = true
"""
Open = Callable[..., AppTest]


def texts(page: AppTest) -> list[str]:
    return [text.value for text in page.text]


def errors(page: AppTest) -> list[str]:
    return [error.value for error in page.error]


def markup(page: AppTest) -> str:
    return "\n".join(element.proto.body for element in page.get("html"))


@pytest.fixture(scope="module")
def _engines() -> Iterator[tuple[FakeEngine, FakeEngine]]:
    engines = FakeEngine("tiny", "voice"), FakeEngine("other")
    yield engines
    for engine in engines:
        engine.shut_down()


@pytest.fixture
def engines(_engines: tuple[FakeEngine, FakeEngine]) -> tuple[FakeEngine, FakeEngine]:
    for engine, answer in zip(_engines, ("two kopi please", "two coffee please lah"), strict=True):
        engine.script.clear()
        engine.exchanges.clear()
        engine.default = says(*[f"{word} " for word in answer.split()])
    return _engines


@pytest.fixture(scope="module")
def _house(
    _engines: tuple[FakeEngine, FakeEngine], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalBackend]:
    tiny, other = _engines
    registry = tmp_path_factory.mktemp("registry") / "models.toml"
    rows = REGISTRY.format(url=tiny.url) + OTHER.format(url=other.url)
    registry.write_text(rows + AWAY.format(url="http://127.0.0.1:9") + VOICE.format(url=tiny.url))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MERALION_MODELS", str(registry))
        patch.setenv("MERALION_CACHE_STORE", "none")
        house = LocalBackend(ROOT, start_timeout_s=30)
        house.url()
    yield house
    house.close()


@pytest.fixture
def picker(
    _house: LocalBackend, engines: tuple[FakeEngine, FakeEngine], environment: pytest.MonkeyPatch
) -> Open:
    """A function that opens the Model Picker, with an address's query if one is given."""
    environment.setenv("MERALION_BACKEND_URL", _house.url())
    environment.setenv("MERALION_VISITOR_SECRET", _house.secret)

    def open_page(page: str = "pages/3_Model_Picker.py", **query: str) -> AppTest:
        settings.cache_clear()
        test = AppTest.from_file(str(ROOT / "Home.py"), default_timeout=20)
        for name, value in query.items():
            test.query_params[name] = value
        if page:
            test.switch_page(page)
        test.run()
        assert not test.exception, test.exception
        return test

    return open_page


def upload(page: AppTest, data: bytes, name: str = "mine.wav") -> AppTest:
    page.file_uploader[0].set_value((name, data, "application/octet-stream")).run()
    return page


def compare(page: AppTest, prompt: str = FIRST.prompt) -> AppTest:
    page.text_area(key="prompt").set_value(prompt).run()
    page.button(key="ask").click().run()
    assert not page.exception, page.exception
    return page


def state(page: AppTest) -> PickerState:
    found = page.session_state["visit"].part(PickerState)
    assert isinstance(found, PickerState)
    return found


def test_a_card_says_what_a_model_is(picker: Open):
    said = markup(picker())
    for part in ("A model for tests.", "MIT", "2 min", "at another server", "It hears words, not voices."):
        assert part in said
    assert said.count("<h3>") == 4
    assert said.index("Tiny") < said.index("Away") < said.index("Voice")
    assert said.count(">Ready<") == 3
    assert said.count(">Not available<") == 1


def test_a_chosen_model_answers_on_the_playground(picker: Open, engines: tuple[FakeEngine, FakeEngine]):
    test = picker()
    assert "Answers" in test.button(key="choose_tiny").label
    test.button(key="choose_other").click().run()
    assert "Answers" in test.button(key="choose_other").label
    assert "Choose" in test.button(key="choose_tiny").label
    assert test.selectbox(key="model").value == "other"
    assert test.session_state["visit"].model == "other"
    with pytest.raises(KeyError):
        test.button(key="choose_voice")


def test_answers_stand_side_by_side_with_their_differences(
    picker: Open, engines: tuple[FakeEngine, FakeEngine]
):
    test = compare(upload(picker(), tone()))
    assert [engine.exchanges[-1].json["model"] for engine in engines] == ["tiny", "other"]
    said = markup(test)
    assert "All agree on 2 of 4 words." in said
    assert "differs: </span>kopi</mark>" in said
    assert "differs: </span>coffee</mark>" in said
    assert 'class="m-gap"' in said
    assert "word error rate" not in said  # nobody knows what is said in it
    test.checkbox(key="compare_words").uncheck().run()
    assert "two kopi please" in texts(test)
    assert "<mark" not in markup(test)


def test_errors_are_counted_where_the_truth_is_known(picker: Open):
    test = picker()
    test.button(key="sample_sl-hawker").click().run()
    said = markup(compare(test))
    assert said.count("a word error rate of") == 2
    assert any(text.startswith("Uncle, one chicken rice") for text in texts(test))


def test_a_question_that_asks_for_no_transcript_is_not_marked_unless_wished(picker: Open):
    test = compare(upload(picker(), tone()), "What is ordered?")
    assert "two kopi please" in texts(test)
    test.checkbox(key="compare_words").check().run()
    assert "<mark" in markup(test)


@pytest.mark.parametrize("trouble", [refuses(400, "Too *much*."), breaks_after("two ")])
def test_one_that_fails_says_so_and_the_other_goes_on(
    picker: Open, engines: tuple[FakeEngine, FakeEngine], trouble: object
):
    engines[1].default = trouble  # type: ignore[assignment]
    test = compare(upload(picker(), tone()), "What is ordered now?")
    assert len(errors(test)) == 1
    assert "two kopi please" in texts(test)
    engines[1].default = says("well ", "again")
    test.button(key="ask").click().run()


def test_one_that_goes_round_in_circles_is_stopped_and_each_can_be_judged(
    picker: Open, engines: tuple[FakeEngine, FakeEngine]
):
    engines[1].default = says(*["two kopi for my mother please "] * 40)
    test = compare(upload(picker(), tone()), "What is ordered again?")
    assert [warning.value for warning in test.warning] == [words("en", "answer.looping")]
    assert "two kopi please" in texts(test)
    assert sum((button.key or "").startswith("feedback_up_") for button in test.button) == 2


def test_a_model_that_is_not_up_can_be_asked_and_says_why(picker: Open):
    test = upload(picker(), tone())
    assert "not available now" in test.checkbox(key="compare_away").label
    test.checkbox(key="compare_away").check().run()
    compare(test, "Who is there?")
    assert "This model is not available now." in errors(test)[0]
    assert "two kopi please" in texts(test)


def test_what_is_missing_is_said_and_nothing_is_asked(picker: Open, engines: tuple[FakeEngine, FakeEngine]):
    test = compare(picker())
    assert "no voice clip yet" in errors(test)[0]
    upload(test, tone())
    assert "no question yet" in errors(compare(test, "  "))[0]
    assert "20,000 characters" in errors(compare(test, "x" * 20_000))[0]
    test.checkbox(key="compare_other").uncheck().run()
    assert "at least two" in errors(compare(test))[0]
    assert not engines[0].exchanges
    test.checkbox(key="compare_other").check().run()
    assert not errors(compare(test))


def test_an_answer_is_never_markup(picker: Open, engines: tuple[FakeEngine, FakeEngine]):
    nasty = "<img src='https://example.com/x.png'> ![](https://example.com/y.png) <script>alert(1)</script>"
    engines[0].default = says(nasty)
    engines[1].default = says("x" * 20_000)
    test = compare(upload(picker(), tone(), "<img src=x>.wav"))
    assert "<img src='https" not in markup(test)
    assert "<img src=x" not in markup(test)
    assert "<script>alert" not in markup(test)
    assert not any("example.com" in element.value for element in test.markdown)
    test.checkbox(key="compare_words").uncheck().run()
    assert nasty in texts(test)
    assert "<img src='https" not in markup(test)


def test_speed_is_what_was_measured(picker: Open):
    SPEEDS._noted.clear()
    assert markup(picker()).count("not measured yet") == 3
    compare(upload(picker(), tone()), "How fast?")
    said = markup(picker())
    assert said.count("First word after") == 2
    assert said.count("not measured yet") == 1


def test_start_over_forgets_the_comparison(picker: Open):
    test = compare(upload(picker(), tone()), "What is secret?")
    test.button(key="start_over").click().run()
    assert "secret" not in " ".join(texts(test))
    assert state(test).comparison is None


def test_a_link_brings_clip_question_and_models_back(picker: Open, engines: tuple[FakeEngine, FakeEngine]):
    test = picker(clip="sl-hawker", prompt="What is eaten?", models="other,away")
    assert "Lunch at the hawker centre" in markup(test)
    assert test.text_area(key="prompt").value == "What is eaten?"
    assert [test.checkbox(key=f"compare_{name}").value for name in ("tiny", "other", "away")] == [
        False,
        True,
        True,
    ]
    assert not test.warning
    test.button(key="start_over").click().run()
    assert test.text_area(key="prompt").value != "What is eaten?"
    assert not test.query_params


def test_a_link_that_nobody_made_is_answered_in_sentences(picker: Open):
    test = picker(
        clip="<b>../../etc</b>", prompt="x" * (MAX_PROMPT_CHARACTERS + 1), models="a,b," + "tiny," * 400
    )
    said = test.warning[0].value
    assert "clip in the link is not here" in said
    assert "longer than 2,000 characters" in said
    assert "model in the link is not here" in said
    assert test.text_area(key="prompt").value == FIRST.prompt
    test.button(key="link_read").click().run()
    assert not test.warning


def test_too_many_models_in_a_link_are_cut(picker: Open):
    every = ["tiny", "other", "away", f"tiny{FREELY}", f"other{FREELY}"]
    test = picker(models=",".join(every))
    assert state(test).picked == every[:MOST]
    assert f"At most {MOST}" in test.warning[0].value
    test.checkbox(key="compare_away").uncheck().run()
    assert len(state(test).picked or []) == MOST - 1


def test_the_playground_takes_a_link_too(picker: Open):
    test = picker(page="", clip="sl-kopi", prompt="Why kosong?", model="other")
    assert test.text_area(key="prompt").value == "Why kosong?"
    assert test.selectbox(key="model").value == "other"
    visit = test.session_state["visit"]
    assert visit.clip.sample_id == "sl-kopi"


def test_a_backend_that_is_not_there_leaves_a_sentence(picker: Open, environment: pytest.MonkeyPatch):
    environment.setenv("MERALION_BACKEND_URL", "http://127.0.0.1:9")
    test = picker()
    assert "does not answer" in errors(test)[0]
    assert test.button(key="ask").disabled


def test_one_model_alone_is_compared_with_itself(
    engines: tuple[FakeEngine, FakeEngine], picker: Open, environment: pytest.MonkeyPatch, tmp_path: Path
):
    registry = tmp_path / "models.toml"
    registry.write_text(REGISTRY.format(url=engines[0].url))
    environment.setenv("MERALION_MODELS", str(registry))
    house = LocalBackend(ROOT, 30)
    try:
        environment.setenv("MERALION_BACKEND_URL", house.url())
        environment.setenv("MERALION_VISITOR_SECRET", house.secret)
        environment.delenv("MERALION_MODELS")
        test = compare(upload(picker(), tone()), "What is freely said?")
        asked = [exchange.json["temperature"] for exchange in engines[0].exchanges]
        assert sorted(asked) == [0, 1]
        assert "Only one model is set up" in markup(test)
    finally:
        house.close()
