"""What goes wrong while a recording is written down: a sentence says so, and what came before is kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.backend.fake_engine import FakeEngine, refuses, sends
from tests.ui.conftest import NAME, tone
from tests.ui.transcripts import BEGIN, DONE, LEFT_ALONE_S, SEGMENTS, WINDOW, end, told
from ui.client import Client, new_http
from ui.transcript import Transcript
from ui.transcript_stream import TranscriptStream
from ui.visitor import Visitor
from ui.wire import ClientError

FAILED = (
    b'data: {"error": {"message": "The model failed. Ask again.", "type": "server_error", "code": "x"}}\n\n'
)


@pytest.fixture
def listen(client: Client) -> Callable[[], Transcript]:
    return lambda: Transcript(lambda: client.transcribe("tiny", tone(3), timeout_s=20), LEFT_ALONE_S)


@pytest.mark.parametrize(
    ("pieces", "code"),
    [
        ((*BEGIN, *WINDOW, FAILED), "x"),
        ((*BEGIN, *WINDOW), "cut_off"),
        ((*BEGIN, *WINDOW, DONE), "cut_off"),
        ((*BEGIN, *WINDOW, b'data: {"type": "transcr' + FAILED), "cut_off"),
        ((*BEGIN, *WINDOW, b"data: [1]\n\n"), "strange"),
        (
            (*BEGIN, *WINDOW, b'data: {"type": "meralion.progress", "read_until": NaN, "seconds": 60}\n\n'),
            "strange",
        ),
        ((*BEGIN, *WINDOW, told("transcript.text.segment", id=1, text="no time")), "strange"),
    ],
    ids=["an error", "no end", "no text at the end", "within an event", "no object", "no number", "no times"],
)
def test_what_came_before_a_failure_is_kept(
    listen: Callable[[], Transcript], engine: FakeEngine, pieces: tuple[bytes, ...], code: str
):
    engine.default = sends(*pieces)
    progress = end(listen())
    assert progress.error is not None
    assert (progress.phase, progress.error.code) == ("failed", code)
    assert progress.error.message.endswith(".")
    assert (progress.text, progress.segments, progress.read_until) == ("Two kopi.", SEGMENTS[:1], 28.4)


def test_an_engine_that_breaks_off_is_told_by_the_controller(
    listen: Callable[[], Transcript], engine: FakeEngine
):
    engine.default = sends(*BEGIN, *WINDOW, end=False)
    progress = end(listen(), 30)
    assert progress.error is not None
    assert progress.error.code not in ("strange", "cut_off")
    assert (progress.phase, progress.segments) == ("failed", SEGMENTS[:1])


@pytest.mark.parametrize(
    "data", [b"", b"no sound at all" * 50, tone(2, loudness=0.0)], ids=["empty", "text", "silent"]
)
def test_what_is_no_recording_is_refused_in_a_sentence(client: Client, engine: FakeEngine, data: bytes):
    progress = end(Transcript(lambda: client.transcribe("tiny", data, timeout_s=20), LEFT_ALONE_S))
    assert progress.error is not None
    assert (progress.phase, progress.error.status) == ("failed", 400)
    assert progress.error.message.endswith(".")
    assert engine.exchanges == []


def test_a_refusal_by_the_engine_is_told(listen: Callable[[], Transcript], engine: FakeEngine):
    engine.default = refuses(400, "This language is not known here.", "invalid_value")
    progress = end(listen())
    assert progress.error is not None
    assert progress.error.message.endswith(".")


def test_what_nobody_foresaw_is_a_sentence_too():
    def opener() -> TranscriptStream:
        raise RuntimeError("a fault of ours")

    progress = end(Transcript(opener, LEFT_ALONE_S))
    assert progress.error is not None
    assert (progress.phase, progress.error.code) == ("failed", "unforeseen")


def test_a_backend_that_is_not_there():
    with new_http() as http:
        client = Client(lambda: "http://127.0.0.1:9", Visitor(NAME), http, local=True)
        with pytest.raises(ClientError) as raised:
            list(client.transcribe("tiny", tone(1), timeout_s=5))
    assert raised.value.code == "backend_gone"
