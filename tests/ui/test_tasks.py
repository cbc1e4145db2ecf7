"""The paper's tasks, and the languages that a model translates into."""

from __future__ import annotations

from ui.tasks import BY_NAME, READY, TASKS, prompt_of, targets
from ui.wire import ModelCard, model_card


def card(engine: str, *languages: str) -> ModelCard:
    return model_card({"id": "m", "meralion": {"engine": engine, "languages": languages}})


def test_there_are_the_paper_s_eight_tasks():
    assert len(TASKS) == len(BY_NAME) == 8


def test_a_model_is_offered_the_languages_that_it_knows():
    assert targets(card("vllm", "zh", "en", "ms", "xx")) == ["en", "zh", "ms"]


def test_the_embedded_engine_translates_into_english_alone():
    assert targets(card("embedded", "en", "zh", "ms")) == ["en"]
    assert targets(None) == ["en"]


def test_the_prompt_names_the_language():
    translate = BY_NAME["translate"]
    assert prompt_of(translate, "zh") == "Please translate this speech into Chinese."
    assert prompt_of(translate, "zh") in READY
    assert prompt_of(BY_NAME["transcribe"], "zh") == BY_NAME["transcribe"].prompt
