"""Bad days behind the page: the visitor keeps the question, reads a sentence, and has a way on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.backend.fake_engine import FakeEngine, says, stalls_after
from tests.ui.conftest import ANSWER, NAME, REGISTRY, tone
from tests.ui.test_playground import Open, ask, errors, markup, texts, upload
from ui import connection
from ui.client import Client, new_http
from ui.language import words
from ui.local_backend import LocalBackend
from ui.settings import ROOT
from ui.visitor import Visitor
from ui.wire import Token

ANSWERED = "".join(ANSWER).strip()
Behind = Callable[..., LocalBackend]


@pytest.fixture
def behind(
    engine: FakeEngine, page: Open, environment: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Behind]:
    """A function that puts the page in front of a controller with other settings."""
    backends: list[LocalBackend] = []

    def start(**settings: str) -> LocalBackend:
        registry = tmp_path / "models.toml"
        registry.write_text(REGISTRY.format(url=engine.url))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MERALION_MODELS", str(registry))
            patch.setenv("MERALION_CACHE_STORE", "none")
            for name, value in settings.items():
                patch.setenv(f"MERALION_{name}", value)
            backends.append(LocalBackend(ROOT, 30))
            environment.setenv("MERALION_BACKEND_URL", backends[-1].url())
        environment.setenv("MERALION_VISITOR_SECRET", backends[-1].secret)
        return backends[-1]

    yield start
    for backend in backends:
        backend.close()


def test_who_asks_too_often_is_told_when_to_come_back(page: Open, behind: Behind):
    behind(VISITOR_REQUESTS_PER_MINUTE="2")
    test = ask(upload(page(), tone(2)), "What is asked in time?")
    assert texts(test)[-1] == ANSWERED
    ask(test, "What is asked too soon?")
    assert len(errors(test)) == 1
    assert "It should work again in" in errors(test)[0]
    assert test.text_area(key="prompt").value == "What is asked too soon?"
    assert texts(test)[-1] == "What is asked too soon?"
    assert test.button(key="again")
    test.selectbox(key="language").set_value("ms").run()
    assert errors(test)[0].startswith(words("ms", "errors.rate_limited"))


def test_a_full_queue_is_told_and_left(page: Open, behind: Behind, engine: FakeEngine):
    backend = behind(PLACES="1", QUEUE_TIMEOUT_S="1")
    engine.script = [stalls_after("Two ")]
    test = upload(page(), tone(2))
    with new_http() as http:
        other = Client(backend.url, Visitor(NAME, backend.secret), http, local=True)
        stream = other.chat("tiny", [{"role": "user", "content": "Who has the only place?"}], 60)
        with closing(iter(stream)) as events:
            while not isinstance(next(events), Token):
                pass
            ask(test, "Who waits for a place?")
            assert len(errors(test)) == 1
            assert test.text_area(key="prompt").value == "Who waits for a place?"
    test.button(key="again").click().run()
    assert not test.error
    assert texts(test)[-1] == ANSWERED


def test_a_model_that_is_starting_is_waited_for(page: Open, behind: Behind, engine: FakeEngine):
    engine.close()
    try:
        behind()
        test = page()
        assert words("en", "frame.model_starting") in markup(test) or words(
            "en", "frame.model_down"
        ) in markup(test)
        upload(test, tone(2))
        opening = threading.Timer(2, engine.open)
        opening.start()
        ask(test, "What is asked before the model is up?")
        opening.join()
    except BaseException:
        engine.open()
        raise
    assert not test.error
    assert texts(test)[-1] == ANSWERED


def test_a_model_that_stays_away_is_told(page: Open, behind: Behind, engine: FakeEngine):
    behind(QUEUE_TIMEOUT_S="1")
    test = ask(upload(page(), tone(2)), "What is asked while all is well?")
    engine.close()
    try:
        ask(test, "What is asked while the model is away?")
        assert len(errors(test)) == 1
        assert texts(test)[:2] == ["What is asked while all is well?", ANSWERED]
    finally:
        engine.open()
    engine.default = says(*ANSWER)
    assert test.button(key="again")


def test_a_controller_that_goes_away_is_told_and_what_was_said_stays(page: Open, behind: Behind):
    gone = behind()
    test = ask(upload(page(), tone(2)), "What is asked of a controller?")
    gone.close()
    connection._models.clear()
    test.text_area(key="prompt").set_value("What is being typed?").run()
    assert "does not answer" in errors(test)[0]
    assert texts(test)[-1] == ANSWERED
    assert test.text_area(key="prompt").value == "What is being typed?"
    assert test.button(key="ask").disabled
    assert test.button(key="try_again")
