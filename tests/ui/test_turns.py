"""Several questions about a clip, or about two: what the model is sent, and what stands on the page."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.backend.fake_engine import FakeEngine, breaks_after, says
from tests.ui.conftest import ANSWER, tone
from tests.ui.test_playground import Open, ask, errors, markup, texts, upload
from ui.client import Client, new_http
from ui.language import words
from ui.local_backend import LocalBackend
from ui.playground_state import Playground
from ui.tasks import COMPARISONS
from ui.visitor import Visitor

ANSWERED = "".join(ANSWER).strip()


def sent(engine: FakeEngine) -> list[dict[str, Any]]:
    """The messages of the last question."""
    messages: list[dict[str, Any]] = engine.exchanges[-1].json["messages"]
    return messages


def clips_in(message: dict[str, Any]) -> int:
    parts = message["content"] if isinstance(message["content"], list) else []
    return sum(part["type"] != "text" for part in parts)


def words_of(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else next(p["text"] for p in content if p["type"] == "text")


def here(page: AppTest) -> Playground:
    part: Playground = page.session_state["visit"].part(Playground)
    return part


def press(page: AppTest, key: str) -> AppTest:
    page.button(key=key).click().run()
    assert not page.exception
    return page


def test_own_words_are_sent_with_what_was_said_before(page: Open, engine: FakeEngine):
    test = ask(upload(page(), tone(2.1)), "What is ordered first?")
    ask(test, "And who pays for it?")
    messages = sent(engine)
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert [words_of(message) for message in messages] == [
        "What is ordered first?",
        ANSWERED,
        "And who pays for it?",
    ]
    assert [clips_in(message) for message in messages] == [1, 0, 0]
    assert texts(test)[:2] == ["What is ordered first?", ANSWERED]
    assert texts(test)[2] == "And who pays for it?"


def test_a_question_of_the_page_s_own_is_sent_alone(page: Open, engine: FakeEngine):
    test = ask(upload(page(), tone(2.2)), "What comes before the chip?")
    press(press(test, "task_summarise"), "ask")
    assert len(sent(engine)) == 1
    assert clips_in(sent(engine)[0]) == 1
    ask(test, "And after the chip?")
    assert len(sent(engine)) == 5


def test_again_takes_the_place_of_the_last_answer(page: Open, engine: FakeEngine):
    test = ask(upload(page(), tone(2.3)), "What comes once?")
    ask(test, "What comes again?")
    test.text_area(key="prompt").set_value("Something else that is being typed").run()
    press(test, "again")
    assert [turn.question for turn in here(test).conversation.turns] == [
        "What comes once?",
        "What comes again?",
    ]
    assert test.text_area(key="prompt").value == "Something else that is being typed"


def test_an_earlier_question_is_asked_differently(page: Open, engine: FakeEngine):
    test = upload(page(), tone(2.4))
    for number in range(4):
        ask(test, f"What is question {number}?")
    assert "What is question 0?" in texts(test)
    press(test, "edit_1")
    assert test.text_area(key="prompt").value == "What is question 1?"
    ask(test, "What is the better question?")
    questions = [turn.question for turn in here(test).conversation.turns]
    assert questions == ["What is question 0?", "What is the better question?"]
    assert len(sent(engine)) == 3


def test_editing_can_be_left(page: Open):
    test = ask(upload(page(), tone(2.5)), "What is kept?")
    press(test, "edit")
    press(test, "stop_editing")
    ask(test, "What is new?")
    assert [turn.question for turn in here(test).conversation.turns] == ["What is kept?", "What is new?"]


def test_what_came_to_nothing_makes_room(page: Open, engine: FakeEngine):
    test = ask(upload(page(), tone(2.6)), "What is well before?")
    engine.default = breaks_after()
    ask(test, "What fails?")
    assert errors(test)
    engine.default = says(*ANSWER)
    ask(test, "What is well again?")
    assert [turn.question for turn in here(test).conversation.turns] == [
        "What is well before?",
        "What is well again?",
    ]


def test_another_clip_starts_another_conversation(page: Open, engine: FakeEngine):
    test = ask(upload(page(), tone(2.7)), "What is in the first clip?")
    upload(test, tone(2.8), "second.wav")
    assert not texts(test)
    ask(test, "What is in the second clip?")
    assert len(sent(engine)) == 1


def test_two_clips_are_compared_in_order(page: Open, engine: FakeEngine):
    test = ask(upload(page(), tone(1.1), "first.wav"), "What is in it?")
    press(test, "second_clip")
    upload(test, tone(3.1), "second.wav")
    assert markup(test).index("1. first.wav") < markup(test).index("2. second.wav")
    assert texts(test)  # what was said stays
    test.button(key="ready_0").click().run()
    assert test.text_area(key="prompt").value == COMPARISONS[0]
    press(test, "ask")
    assert [clips_in(message) for message in sent(engine)] == [2]
    ask(test, "And which is longer?")
    assert [clips_in(message) for message in sent(engine)] == [1, 0, 1, 0, 0]
    press(test, "second_clip")
    assert "first.wav" not in markup(test)
    assert not texts(test)
    ask(test, "What is left?")
    assert [clips_in(message) for message in sent(engine)] == [1]


def test_two_clips_too_long_together_are_not_asked_about(page: Open, engine: FakeEngine):
    test = upload(page(), tone(70), "first.wav")
    press(test, "second_clip")
    upload(test, tone(71), "second.wav")
    ask(test, "What is the same in both?")
    assert "2 min 21 s together" in errors(test)[0]
    assert not engine.exchanges


def test_a_clip_that_is_kept_no_longer_is_handed_over_anew(
    page: Open, engine: FakeEngine, controller: LocalBackend
):
    test = ask(upload(page(), tone(2.9)), "What is kept?")
    visit = test.session_state["visit"]
    with new_http() as http:
        Client(controller.url, Visitor(visit.visitor, controller.secret), http, local=True).delete(
            visit.clip.file_id
        )
    ask(test, "What is it after that?")
    assert not test.error
    assert [clips_in(message) for message in sent(engine)] == [1, 0, 0]
    assert visit.clip.file_id in visit.files


def test_how_the_answer_is_written_is_sent_and_taken_back(page: Open, engine: FakeEngine):
    test = upload(page(), tone(1.2))
    ask(test, "How is it usually?")
    usual = engine.exchanges[-1].json
    test.slider(key="sampling_temperature").set_value(0.8).run()
    test.slider(key="sampling_top_p").set_value(0.5).run()
    test.slider(key="sampling_max_tokens").set_value(64).run()
    ask(test, "How is it freely?")
    free = engine.exchanges[-1].json
    assert (free["temperature"], free["top_p"], free["max_tokens"]) == (0.8, 0.5, 64)
    press(test, "sampling_reset")
    ask(test, "How is it after that?")
    again = engine.exchanges[-1].json
    for name in ("temperature", "top_p", "max_tokens"):
        assert again.get(name) == usual.get(name)
    assert usual["temperature"] == 0


def test_a_model_that_says_the_same_again_and_again_is_stopped(page: Open, engine: FakeEngine):
    engine.default = says(*["and then we went to the market "] * 200)
    test = ask(upload(page(), tone(1.3)), "What loops?")
    assert [warning.value for warning in test.warning] == [words("en", "answer.looping")]
    kept = texts(test)[-1]
    assert kept.startswith("and then we went to the market")
    assert len(kept) < 1000


@pytest.mark.parametrize("code", ["zh", "ms", "ta"])
def test_the_page_speaks_the_visitor_s_language_and_asks_in_english(
    page: Open, engine: FakeEngine, code: str
):
    test = page()
    test.selectbox(key="language").set_value(code).run()
    upload(test, tone(1.4))
    press(test, "task_summarise")
    assert test.button(key="task_summarise").label == words(code, "tasks.summarise")
    assert "summarise" in test.text_area(key="prompt").value
    press(test, "ask")
    assert words_of(sent(engine)[0]).startswith("Please summarise")
    assert test.button(key="again").label == words(code, "answer.again")
    press(test, "start_over")
    press(test, "ask")
    assert errors(test) == [words(code, "question.no_clip")]


def test_the_longest_answer_and_markup_are_text_in_every_turn(page: Open, engine: FakeEngine):
    nasty = "<script>alert(1)</script> ![](https://example.com/y.png) "
    engine.default = says(*[f"{nasty}{number} " for number in range(320)])
    test = ask(upload(page(), tone(1.5)), "<b>What</b> is long?")
    assert len(texts(test)[-1]) > 19_000
    engine.default = says("short")
    ask(test, "What is short?")
    assert any(len(text) > 19_000 for text in texts(test))
    assert "example.com" not in markup(test)
