"""The page as a visitor uses it, in front of a real controller and a scripted engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.backend.fake_engine import FakeEngine, breaks_after, refuses, says
from tests.ui.conftest import ANSWER, REGISTRY, tone
from ui.client import Client, new_http
from ui.language import words
from ui.local_backend import LocalBackend
from ui.settings import ROOT, settings
from ui.tasks import BY_NAME, FIRST, MAX_PROMPT_CHARACTERS
from ui.visitor import Visitor

Open = Callable[[], AppTest]


def texts(page: AppTest) -> list[str]:
    return [text.value for text in page.text]


def errors(page: AppTest) -> list[str]:
    return [error.value for error in page.error]


def markup(page: AppTest) -> str:
    """Everything on the page that the browser reads as HTML or Markdown."""
    html = [element.proto.body for element in page.get("html")]
    return "\n".join([*html, *(element.value for element in page.markdown)])


def upload(page: AppTest, data: bytes, name: str = "clip.wav") -> AppTest:
    page.file_uploader[0].set_value((name, data, "application/octet-stream")).run()
    assert not page.exception
    return page


def ask(page: AppTest, prompt: str) -> AppTest:
    page.text_area(key="prompt").set_value(prompt).run()
    page.button(key="ask").click().run()
    assert not page.exception
    return page


def test_an_upload_is_asked_about_and_answered(page: Open):
    test = ask(upload(page(), tone(2.5), "holiday.m4a"), "What is ordered at noon?")
    assert texts(test) == ["What is ordered at noon?", "dua kopi", "".join(ANSWER).strip()]
    assert "done in" in " ".join(caption.value for caption in test.caption)
    assert test.button(key="again")
    assert "holiday.m4a" in markup(test)


def test_a_sample_is_chosen_and_its_questions_are_offered(page: Open):
    test = page()
    test.button(key="sample_sl-hawker").click().run()
    assert "Lunch at the hawker centre" in markup(test)
    ready = test.button(key="ready_0")
    ready.click().run()
    assert test.text_area(key="prompt").value == ready.label
    test.button(key="ask").click().run()
    assert texts(test)[0] == ready.label


def test_a_chip_fills_in_the_prompt(page: Open):
    test = page()
    assert test.text_area(key="prompt").value == FIRST.prompt
    test.button(key="task_summarise").click().run()
    assert "summarise" in test.text_area(key="prompt").value


def test_what_the_model_cannot_do_is_greyed_with_the_reason(page: Open):
    test = page()
    chip = test.button(key="task_speaker")
    assert chip.disabled
    assert chip.help == "It hears words, not voices."
    assert "It hears words, not voices." in markup(test)
    assert not test.button(key="task_translate").disabled


def test_asking_without_a_clip_says_what_to_do(page: Open, engine: FakeEngine):
    test = ask(page(), "What is this?")
    assert errors(test) == [words("en", "question.no_clip")]
    assert not engine.exchanges


@pytest.mark.parametrize(
    ("prompt", "sentence"), [("   ", "no question yet"), ("x" * 20_000, "20,000 characters; at most 2,000")]
)
def test_a_prompt_that_cannot_be_asked_says_why(page: Open, engine: FakeEngine, prompt: str, sentence: str):
    test = ask(upload(page(), tone()), prompt)
    assert sentence in errors(test)[0]
    assert not engine.exchanges
    assert texts(ask(test, "And what is ordered now?"))[-1] == "".join(ANSWER).strip()


def test_the_longest_prompt_is_asked(page: Open, engine: FakeEngine):
    test = ask(upload(page(), tone()), "why " * (MAX_PROMPT_CHARACTERS // 4))
    assert not test.error
    assert engine.exchanges


@pytest.mark.parametrize(
    "data",
    [b"", b"holiday notes " * 40, tone(0.03), tone(2, loudness=0.0)],
    ids=["empty", "text", "too short", "silent"],
)
def test_a_file_that_is_no_clip_is_refused_in_a_sentence_and_the_next_works(page: Open, data: bytes):
    test = upload(page(), data)
    assert len(errors(test)) == 1
    assert errors(test)[0].endswith(".")
    test = ask(upload(test, tone()), "What is ordered after all?")
    assert not test.error
    assert texts(test)[-1] == "".join(ANSWER).strip()


def test_an_answer_is_shown_as_text_and_never_as_markup(page: Open, engine: FakeEngine):
    nasty = "<img src='https://example.com/x.png'> ![](https://example.com/y.png) **bold** $x$ :red[red]"
    engine.default = says(nasty)
    test = ask(upload(page(), tone()), "<b>What</b> is nasty?")
    assert texts(test) == ["<b>What</b> is nasty?", nasty]
    assert "example.com" not in markup(test)


def test_a_title_is_shown_as_text_and_never_as_markup(page: Open):
    test = upload(page(), tone(), "<img src=x onerror=alert(1)>.wav")
    assert "<img src=x" not in markup(test)


def test_an_engine_that_breaks_is_told_and_the_next_question_works(page: Open, engine: FakeEngine):
    assert not errors(ask(upload(page(), tone()), "What is well?"))  # ends its rest after earlier tests
    engine.default = breaks_after("Two ")
    test = ask(upload(page(), tone()), "What breaks here?")
    assert errors(test)
    engine.default = says(*ANSWER)
    test.button(key="again").click().run()
    assert not test.error
    assert texts(test)[-1] == "".join(ANSWER).strip()


def test_a_refusal_is_told(page: Open, engine: FakeEngine):
    engine.default = refuses(400, "This is too much for the model.")
    assert errors(ask(upload(page(), tone()), "What is refused here?"))


def test_what_a_refusal_says_is_no_markup(page: Open, engine: FakeEngine):
    engine.default = refuses(400, "Too long: ![x](http://elsewhere.example/x.png) <b>now</b>")
    (said,) = errors(ask(upload(page(), tone()), "What is refused in pictures?"))
    assert r"!\[x\](http" in said
    assert r"\<b\>" in said


def test_an_answer_without_words_says_so(page: Open, engine: FakeEngine):
    engine.default = says()
    test = ask(upload(page(), tone()), "What is silent here?")
    assert test.info or test.error


def test_ask_again_asks_again(page: Open, engine: FakeEngine):
    test = ask(upload(page(), tone()), "What is asked twice?")
    test.button(key="again").click().run()
    assert texts(test)[-1] == "".join(ANSWER).strip()
    assert any("asked before" in caption.value for caption in test.caption)


def test_the_second_click_of_a_double_click_asks_nothing(page: Open, engine: FakeEngine):
    test = ask(upload(page(), tone()), "What is clicked twice?")
    engine.default = says("Another answer.")
    test.button(key="ask").click().run()
    assert texts(test)[-1] == "".join(ANSWER).strip()


def test_start_over_leaves_nothing_behind(page: Open, controller: LocalBackend):
    test = ask(upload(page(), tone(), "private.wav"), "What is private?")
    visit = test.session_state["visit"]
    before, file_id = visit.visitor, visit.clip.file_id
    with new_http() as http:
        assert Client(controller.url, Visitor(before, controller.secret), http, local=True).has(file_id)
    test.button(key="start_over").click().run()
    assert not texts(test)
    assert "private" not in markup(test)
    assert test.text_area(key="prompt").value == FIRST.prompt
    assert visit.visitor != before
    with new_http() as http:
        as_before = Client(controller.url, Visitor(before, controller.secret), http, local=True)
        deadline = time.monotonic() + 5
        while as_before.has(file_id) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not as_before.has(file_id)


def test_two_visitors_do_not_see_each_other(page: Open):
    one, other = page(), page()
    ask(upload(one, tone(), "mine.wav"), "What is mine?")
    other.run()
    assert not texts(other)
    assert one.session_state["visit"].visitor != other.session_state["visit"].visitor


def test_a_host_s_mistake_is_told_on_the_page(page: Open, environment: pytest.MonkeyPatch):
    environment.setenv("MERALION_UI_COLOUR", "blue")
    test = page()
    assert "MERALION_UI_COLOUR is not a setting" in errors(test)[0]


def test_a_backend_that_is_not_there_is_told_on_the_page(page: Open, environment: pytest.MonkeyPatch):
    environment.setenv("MERALION_BACKEND_URL", "http://127.0.0.1:9")
    settings.cache_clear()
    test = page()
    assert "does not answer" in errors(test)[0]
    assert test.button(key="ask").disabled


def test_a_folder_without_samples_still_leaves_two_ways_in(
    page: Open, environment: pytest.MonkeyPatch, tmp_path
):
    environment.setenv("MERALION_UI_SAMPLES_DIR", str(tmp_path))
    test = page()
    assert "sample clips are not here" in test.info[0].value
    assert texts(ask(upload(test, tone()), "What is ordered without samples?"))[-1] == "".join(ANSWER).strip()


def test_a_visitor_chooses_among_several_models(
    page: Open, engine: FakeEngine, environment: pytest.MonkeyPatch, tmp_path: Path
):
    second = REGISTRY.replace("[tiny", "[other").replace('"Tiny"', '"Other"').replace("default = true", "")
    registry = tmp_path / "models.toml"
    registry.write_text(
        (REGISTRY + second.replace('"It hears words, not voices."', "true")).format(url=engine.url)
    )
    environment.setenv("MERALION_MODELS", str(registry))
    engine.models = ("tiny", "other")
    backend = LocalBackend(ROOT, 30)
    try:
        environment.setenv("MERALION_BACKEND_URL", backend.url())
        environment.setenv("MERALION_VISITOR_SECRET", backend.secret)
        environment.delenv("MERALION_MODELS")
        test = upload(page(), tone())
        assert test.selectbox(key="model").options == ["Tiny", "Other"]
        assert test.button(key="task_speaker").disabled
        other = test.button(key="other_other")
        assert other.label == "Other can: Who speaks?"
        other.click().run()
        assert test.selectbox(key="model").value == "other"
        assert test.text_area(key="prompt").value == BY_NAME["speaker"].prompt
        assert not test.button(key="task_speaker").disabled
        assert "other_tiny" not in [button.key for button in test.button]  # it can no more than this one
        ask(test, "Who answers?")
        assert engine.exchanges[-1].json["model"] == "other"
    finally:
        backend.close()
        engine.models = ("tiny",)
