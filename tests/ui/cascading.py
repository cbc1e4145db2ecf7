"""The Cascade page as its visitors use it."""

from __future__ import annotations

from collections.abc import Callable

from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import TextInput

from tests.backend.fake_engine import Behaviour, Exchange, says
from ui.cascade.asking import TRANSCRIBE
from ui.cascade.state import CascadeState

Open = Callable[[], AppTest]
KEY = "sk-visitor-0123456789"
ROWS = """
[text.local]
title = "Small"

[text.far]
title = "Far away"
address = "{url}/v1"
model = "large"
key_env = "FAR_AWAY_KEY"
input_per_million = 1000
output_per_million = 4000
silence_s = 5
first_word_s = 5

[text.open]
title = "Open"
address = "{url}/v1"
free = true

[text.abroad]
title = "Abroad"
address = "https://abroad.invalid/v1"
key_env = "ABROAD_KEY"

[audio.tiny]
per_audio_minute = 0.60
"""


def answers(heard: str, sound: str, words: str) -> Behaviour:
    async def behave(exchange: Exchange) -> None:
        content = exchange.json["messages"][-1]["content"]
        about_sound = not isinstance(content, str)
        text = str(content)
        await says(heard if TRANSCRIBE in text else sound if about_sound else words)(exchange)

    return behave


def texts(test: AppTest) -> list[str]:
    return [text.value for text in test.text]


def words(test: AppTest) -> str:
    return str(next(area for area in test.text_area if str(area.key).startswith("cascade_words")).value)


def type_words(test: AppTest, text: str) -> AppTest:
    area = next(area for area in test.text_area if str(area.key).startswith("cascade_words"))
    area.set_value(text).run()
    return test


def markup(test: AppTest) -> str:
    return "\n".join(element.proto.body for element in test.get("html"))


def everything(test: AppTest) -> str:
    seen = [markup(test), *texts(test), *(error.value for error in test.error)]
    return "\n".join(
        [*seen, *(text.value for text in test.caption), *(str(area.value) for area in test.text_area)]
    )


def ask(test: AppTest, question: str) -> AppTest:
    run = test.session_state["visit"].part(CascadeState).run
    if run is not None:
        run.whole.answer.asked_at -= 2  # a person needs longer; a double click asks nothing
    test.text_area(key="cascade_prompt").set_value(question).run()
    test.button(key="ask").click().run()
    assert not test.exception, test.exception
    return test


def choose(test: AppTest, row: str, key: str = "") -> AppTest:
    test.selectbox(key="external_model").set_value(row).run()
    if key:
        key_field(test).set_value(key).run()
    return test


def key_field(test: AppTest) -> TextInput:
    return next(field for field in test.text_input if str(field.key).startswith("external_key"))
