"""An answer that lives apart from the page's runs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from tests.backend.fake_engine import Exchange, FakeEngine, breaks_after, chunk, refuses, says, stalls_after
from tests.ui.conftest import ANSWER, tone
from ui.answer import Answer, Progress
from ui.client import AnswerStream, Client
from ui.wire import Queued

LEFT_ALONE_S = 20.0


@pytest.fixture
def ask(client: Client) -> Callable[[str], Answer]:
    def start(question: str) -> Answer:
        def opener() -> AnswerStream:
            clip = client.upload(tone(1.5), "tone.wav")
            return client.ask("tiny", question, clip.file_id, 64, 20)

        return Answer(question, opener, LEFT_ALONE_S)

    return start


def end(answer: Answer, limit_s: float = 10) -> Progress:
    progress = answer.progress
    deadline = time.monotonic() + limit_s
    while not progress.ended and time.monotonic() < deadline:
        progress = answer.wait(progress.version, 0.5)
    assert progress.ended
    return progress


def until(answer: Answer, text: str) -> Progress:
    progress = answer.progress
    while progress.text != text and not progress.ended:
        progress = answer.wait(progress.version, 5)
    return progress


def test_it_runs_to_its_end_without_a_page(ask: Callable[[str], Answer]):
    progress = end(ask("What is ordered first?"))
    assert (progress.phase, progress.text, progress.heard) == ("done", "".join(ANSWER), "dua kopi")
    assert progress.timing is not None


def test_it_waits_in_the_queue_and_goes_on(engine: FakeEngine):
    """Straight from the engine, which tells places as the controller would."""
    called, begun = threading.Event(), threading.Event()

    async def behave(exchange: Exchange) -> None:
        await exchange.head()
        for position in (3, 2):
            place = {"position": position, "waiting": 7}
            await exchange.event({"choices": [], "meralion": {"queued": place}})
        await asyncio.to_thread(called.wait, 10)
        await exchange.event(chunk({"role": "assistant", "content": ""}))
        await asyncio.to_thread(begun.wait, 10)
        await exchange.event(chunk({}, meralion={"heard": "dua "}))
        await exchange.token("Two ")
        await exchange.event(chunk({}, "stop"))
        await exchange.event("[DONE]")
        await exchange.end()

    engine.script = [behave]
    address = (engine.url, "/v1/chat/completions")
    answer = Answer("What?", lambda: AnswerStream(address, {}, {}, 20, "gone"), LEFT_ALONE_S)
    progress = answer.progress
    while progress.queued != Queued(2, 7):
        progress = answer.wait(progress.version, 5)
    assert progress.phase == "waiting"
    called.set()
    while progress.phase == "waiting":
        progress = answer.wait(progress.version, 5)
    assert progress.phase == "listening"
    begun.set()
    progress = end(answer)
    assert (progress.phase, progress.heard, progress.text) == ("done", "dua ", "Two ")


def test_stop_keeps_what_came_and_frees_the_engine(ask: Callable[[str], Answer], engine: FakeEngine):
    engine.default = stalls_after("Two ")
    answer = ask("What is ordered second?")
    assert until(answer, "Two ").phase == "answering"
    begin = time.monotonic()
    answer.stop()
    assert time.monotonic() - begin < 0.5
    assert (answer.progress.phase, answer.progress.text) == ("stopped", "Two ")
    assert engine.exchanges[-1].left.wait(5)
    assert answer.progress.error is None


def test_stop_before_it_began_asks_nothing(client: Client, engine: FakeEngine):
    go = threading.Event()

    def opener() -> AnswerStream:
        go.wait(5)
        return client.ask("tiny", "What?", "file-x", 64, 20)

    answer = Answer("What?", opener, LEFT_ALONE_S)
    answer.stop()
    go.set()
    assert end(answer).phase == "stopped"
    assert not engine.exchanges


def test_what_came_before_a_failure_is_kept(ask: Callable[[str], Answer], engine: FakeEngine):
    engine.default = breaks_after("Two ", "kopi")
    progress = end(ask("What breaks third?"))
    assert progress.phase == "failed"
    assert progress.error is not None
    assert progress.text == "Two kopi"


def test_a_refusal_is_an_error_in_words(ask: Callable[[str], Answer], engine: FakeEngine):
    engine.default = refuses(400, "The prompt is too long for this model.", "too_long")
    progress = end(ask("What is refused?"))
    assert progress.error is not None
    assert progress.error.message.endswith(".")


def test_the_token_limit_is_noticed(ask: Callable[[str], Answer], engine: FakeEngine):
    engine.default = says("Two ", finish="length")
    assert end(ask("What is cut?")).cut


def test_an_answer_that_nobody_follows_is_dropped(client: Client, engine: FakeEngine):
    engine.default = says(*["word "] * 200, gap_s=0.02)
    clip = client.upload(tone(1.6), "tone.wav")
    answer = Answer("What?", lambda: client.ask("tiny", "What is left?", clip.file_id, 64, 20), 0.2)
    deadline = time.monotonic() + 5
    while not answer.progress.ended and time.monotonic() < deadline:
        time.sleep(0.02)
    assert answer.progress.phase == "stopped"
