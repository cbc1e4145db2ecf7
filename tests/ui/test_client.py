"""The client module against a real controller."""

from __future__ import annotations

import threading
import time

import httpx
import pytest

from tests.backend.fake_engine import FakeEngine, breaks_after, stalls_after
from tests.ui.conftest import ANSWER, NAME, tone
from ui.client import GONE, REPLY_TIMEOUT_S, Client, new_http
from ui.visitor import Visitor
from ui.wire import Begun, ClientError, Done, Heard, Token, Usage


def test_models_with_their_reasons(client: Client):
    (card,) = client.models()
    assert (card.title, card.state, card.default) == ("Tiny", "up", True)
    assert card.can("transcribe").supported
    assert card.can("speaker").reason == "It hears words, not voices."


def test_a_clip_is_kept_read_back_and_forgotten(client: Client):
    clip = client.upload(tone(2), "tone.wav")
    assert clip.seconds == pytest.approx(2, abs=0.01)
    assert client.content(clip.file_id)[:4] == b"RIFF"
    assert client.has(clip.file_id)
    client.delete(clip.file_id)
    assert not client.has(clip.file_id)


def test_an_answer_streams(client: Client):
    clip = client.upload(tone(2.1), "tone.wav")
    *words, done, usage = client.ask("tiny", "What is ordered?", clip.file_id, 64, 20)
    assert "".join(word.text for word in words if isinstance(word, Heard)) == "dua kopi"
    assert "".join(word.text for word in words if isinstance(word, Token)) == "".join(ANSWER)
    assert isinstance(done, Done)
    assert done.timing.total_ms is not None
    assert usage == Usage(read=7, written=len(ANSWER))


@pytest.mark.parametrize(
    "data",
    [b"", b"not a sound at all" * 50, tone(2)[:30], tone(0.03), tone(2, loudness=0.0)],
    ids=["empty", "text", "truncated", "0.03 s", "silent"],
)
def test_what_is_no_clip_is_refused_in_a_sentence(client: Client, data: bytes):
    with pytest.raises(ClientError) as raised:
        client.upload(data, "clip.wav")
    assert raised.value.message.endswith(".")
    assert not raised.value.retryable


def test_an_unknown_model_is_refused_in_a_sentence(client: Client):
    clip = client.upload(tone(2), "tone.wav")
    with pytest.raises(ClientError, match="no such model"):
        list(client.ask("no-such-model", "What?", clip.file_id, 64, 20))


def test_an_engine_that_breaks_is_told_in_a_sentence(client: Client, engine: FakeEngine):
    engine.default = breaks_after("Two ")
    clip = client.upload(tone(2.2), "tone.wav")
    stream = iter(client.ask("tiny", "What breaks?", clip.file_id, 64, 20))
    assert next(event for event in stream if event != Begun()) == Token("Two ")
    with pytest.raises(ClientError) as raised:
        list(stream)
    assert raised.value.message.endswith(".")


@pytest.mark.parametrize("tokens", [(), ("Two ",)], ids=["before the first word", "after it"])
def test_hanging_up_from_another_thread_frees_the_engine(
    client: Client, engine: FakeEngine, tokens: tuple[str, ...]
):
    engine.default = stalls_after(*tokens)
    clip = client.upload(tone(2.3), "tone.wav")
    stream = client.ask("tiny", f"What stalls after {len(tokens)}?", clip.file_id, 64, 60)
    came: list[object] = []

    def read() -> None:
        try:
            came.extend(stream)
        except ClientError:
            came.append("hung up")

    reader = threading.Thread(target=read)
    reader.start()
    deadline = time.monotonic() + 10
    while not engine.exchanges and time.monotonic() < deadline:
        time.sleep(0.01)
    stream.close()
    reader.join(timeout=5)
    assert not reader.is_alive()
    assert engine.exchanges[-1].left.wait(5)


def test_a_controller_that_is_not_there_is_said_to_be_started_again():
    with new_http() as http, pytest.raises(ClientError) as raised:
        Client(lambda: "http://127.0.0.1:9", Visitor(NAME), http, local=True).models()
    assert (raised.value.message, raised.value.retryable) == (GONE, True)


def test_a_page_does_not_stand_still_for_long_where_the_controller_is_silent():
    """A kept connection over a link that was cut: nothing comes, not even a refusal."""

    def silence(request: httpx.Request) -> httpx.Response:
        patience.append(request.extensions["timeout"]["read"])
        raise httpx.ReadTimeout("nothing came", request=request)

    patience: list[float] = []
    with httpx.Client(transport=httpx.MockTransport(silence), timeout=REPLY_TIMEOUT_S) as http:
        client = Client(lambda: "http://controller", Visitor(NAME), http, local=False)
        for look in (client.models, client.decisions):
            with pytest.raises(ClientError) as raised:
                look()
            assert (raised.value.code, raised.value.retryable) == ("timeout", True)
    assert max(patience) <= 5
