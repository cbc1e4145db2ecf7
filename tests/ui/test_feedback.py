"""Thumbs, comments and donations as visitors press them: nothing is kept that they did not send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.ui.conftest import tone
from ui.donations import DELETED
from ui.settings import settings


def page_of_a_visitor(wav: bytes, origin: str) -> None:
    """A page with one answer that has come, about a clip."""
    import streamlit as st

    from ui.answer import Answer
    from ui.clip import Clip
    from ui.feedback import after_answer
    from ui.giving import give, take_back
    from ui.session import session
    from ui.wire import Done, Token

    class Come:
        def __iter__(self):  # type: ignore[no-untyped-def]
            yield from (Token("Two kopi."), Done())

        def close(self) -> None: ...

    visit = session()
    if "answer" not in st.session_state:
        answer = Answer("What is ordered?", Come, 5)  # type: ignore[arg-type]
        while not answer.progress.ended:
            answer.wait(answer.progress.version, 1)
        st.session_state["answer"] = answer
        visit.clip = Clip("Mine", origin, 2.0, wav, "file-1")  # type: ignore[arg-type]
    after_answer(visit, st.session_state["answer"], "tiny")
    give(visit, visit.clip)
    take_back()
    st.text(visit.visitor)


def open_page(origin: str = "microphone") -> AppTest:
    test = AppTest.from_function(page_of_a_visitor, args=(tone(), origin), default_timeout=10)
    return checked(test.run())


def checked(test: AppTest) -> AppTest:
    assert not test.exception, test.exception
    return test


def button(test: AppTest, start: str) -> Any:
    return next(found for found in test.button if (found.key or "").startswith(start))


@pytest.fixture
def feedback(environment: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    environment.setenv("MERALION_UI_FEEDBACK_DIR", str(tmp_path / "feedback"))
    return tmp_path / "feedback" / "feedback.jsonl"


@pytest.fixture
def donations(environment: pytest.MonkeyPatch, feedback: Path, tmp_path: Path) -> Path:
    environment.setenv("MERALION_UI_DONATIONS_DIR", str(tmp_path / "donations"))
    return tmp_path / "donations"


def records(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def comment(test: AppTest, words: str, include: bool) -> AppTest:
    test.text_area[0].set_value(words)
    test.checkbox[0].set_value(include)
    return checked(button(test, "FormSubmitter").click().run())


def test_a_thumb_is_kept_without_a_word_of_the_visitor(feedback: Path):
    test = open_page()
    assert not feedback.exists()
    checked(button(test, "feedback_up").click().run())
    [record] = records(feedback)
    assert record.pop("id")
    assert record.pop("time")
    assert record == {"model": "tiny", "language": "en", "rating": "up"}


def test_a_change_of_mind_is_a_record_of_the_same_name(feedback: Path):
    test = open_page()
    for thumb in ("feedback_up", "feedback_up", "feedback_down"):
        checked(button(test, thumb).click().run())
    up, down = records(feedback)
    assert (up["rating"], down["rating"]) == ("up", "down")
    assert up["id"] == down["id"]


def test_a_comment_takes_the_question_along_only_where_that_is_ticked(feedback: Path):
    test = open_page()
    checked(button(test, "feedback_down").click().run())
    comment(test, "It was teh. " * 100, include=False)
    record = records(feedback)[-1]
    assert set(record) == {"id", "time", "model", "language", "rating", "comment"}
    assert len(record["comment"]) <= 500
    test = open_page()
    checked(button(test, "feedback_down").click().run())
    comment(test, "It was teh.", include=True)
    record = records(feedback)[-1]
    assert (record["question"], record["answer"]) == ("What is ordered?", "Two kopi.")


def test_a_full_disk_is_told_and_the_words_stay(environment: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "file").write_text("no folder")
    environment.setenv("MERALION_UI_FEEDBACK_DIR", str(tmp_path / "file"))
    test = open_page()
    checked(button(test, "feedback_up").click().run())
    assert "could not be kept" in test.error[0].value


def test_opinions_are_not_asked_for_where_the_host_wants_none(environment: pytest.MonkeyPatch):
    environment.setenv("MERALION_UI_FEEDBACK_DIR", "")
    assert not open_page().button


def test_recordings_are_not_asked_for_unless_the_host_does(feedback: Path):
    test = open_page()
    assert not test.checkbox
    assert not test.text_input


def test_a_sample_is_not_asked_for(donations: Path):
    test = open_page("sample")
    assert not test.checkbox
    assert test.text_input  # and still there is the way to delete one by its receipt


def test_a_recording_is_given_after_a_tick_and_taken_back_in_the_same_visit(donations: Path):
    test = open_page()
    assert button(test, "giving_give").disabled
    assert str(donations) in "".join(text.value for text in test.text)
    checked(test.checkbox(key="giving_agree_file-1").check().run())
    checked(button(test, "giving_give").click().run())
    receipt = next(text.value for text in test.text if text.value.startswith("Receipt: "))
    wav = next(donations.glob("*.wav"))
    assert wav.read_bytes() == tone()
    assert wav.stem == receipt.removeprefix("Receipt: ").replace("-", "")
    about = json.loads(wav.with_suffix(".json").read_text())
    visitor = test.session_state["visit"].visitor
    assert visitor not in json.dumps(about)
    assert "give this recording" in about["consent"]["text"]
    checked(button(test, "giving_delete").click().run())
    assert [file.name for file in donations.iterdir()] == [DELETED]
    assert test.success[0].value == "The recording was deleted."
    assert button(test, "giving_give").disabled  # each time anew


def test_a_receipt_takes_back_a_recording_in_another_visit(donations: Path):
    test = open_page()
    checked(test.checkbox(key="giving_agree_file-1").check().run())
    checked(button(test, "giving_give").click().run())
    receipt = next(donations.glob("*.wav")).stem
    other = open_page("sample")
    other.text_input[0].set_value("abcd-efgh-2345-6723")
    checked(button(other, "taking_back").click().run())
    assert "no recording with this receipt" in other.info[0].value
    assert len(list(donations.iterdir())) == 2
    other.text_input[0].set_value(receipt)
    checked(button(other, "taking_back").click().run())
    assert other.success[0].value == "The recording was deleted."
    assert [file.name for file in donations.iterdir()] == [DELETED]


def test_a_full_place_for_recordings_is_told_and_the_clip_stays(
    donations: Path, environment: pytest.MonkeyPatch
):
    environment.setenv("MERALION_UI_DONATIONS_MB", "0.001")
    settings.cache_clear()
    test = open_page()
    checked(test.checkbox(key="giving_agree_file-1").check().run())
    checked(button(test, "giving_give").click().run())
    assert "could not be kept" in test.error[0].value
    assert not list(donations.iterdir())
    assert test.session_state["visit"].clip.title == "Mine"
