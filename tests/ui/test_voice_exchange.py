"""A turn of a talk: real controller, scripted engine; the voice is a function that makes a WAV."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.backend.fake_engine import FakeEngine, breaks_after, says, stalls_after
from tests.ui.conftest import tone
from ui.client import AnswerStream, Client
from ui.voice.asking import writes_down_first
from ui.voice.exchange import Exchange, Voice, messages
from ui.voice.levels import RATE
from ui.voice.state import Asker, VoiceChat
from ui.wire import Capability, ClientError

WORDS = ("The sky is ", "blue today. ", "Is that not ", "a good thing?")
uploaded: list[str] = []
SPOKEN = np.frombuffer(tone(1.5)[44:], "<i2")


class Reader:
    """A voice that says what it read, and may be held up or made to fail."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.error: ClientError | None = None

    def say(self, text: str) -> bytes:
        self.read.append(text)
        self.go_on.wait(10)
        if self.error:
            raise self.error
        return f"sound of {text}".encode()


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def chat(client: Client, engine: FakeEngine, reader: Reader) -> VoiceChat:
    """A talk with the scripted engine."""
    engine.default = says(*WORDS, heard=("what is ", "the sky"))

    def opener(wav: bytes, before: list[Exchange], tell: Callable[[str], None]) -> AnswerStream:
        stored = client.upload(wav, "spoken.wav")
        tell(stored.file_id)
        uploaded.append(stored.file_id)
        return client.chat("tiny", messages(before, stored.file_id), 30)

    def forget(files: list[str]) -> None:
        for file_id in files:
            with contextlib.suppress(ClientError, RuntimeError):  # deleted already; the test is over
                client.delete(file_id)

    uploaded.clear()
    chat = VoiceChat()
    chat.asker = Asker(opener, forget, Voice(reader.say, ("en",)), 60.0, 20.0, hears_words=True)
    return chat


def until(chat: VoiceChat, what: Callable[[], bool]) -> None:
    """Wait until something is so."""
    seen = -1
    for _ in range(400):
        if what():
            return
        seen = chat.news.wait(seen, 0.05)
    raise AssertionError("it never came to be")


def said(chat: VoiceChat, shift: int = 0) -> Exchange:
    """Say something new, and wait for the whole answer and its sound."""
    chat.say(np.roll(SPOKEN, shift), 0.5)
    turn = chat.last
    assert turn is not None
    until(chat, lambda: turn.over)
    return turn


def test_an_answer_is_heard_written_and_spoken(chat: VoiceChat, reader: Reader):
    turn = said(chat)
    assert turn.heard == "what is the sky"
    assert turn.text == "The sky is blue today. Is that not a good thing?"
    assert [piece.text for piece in turn.pieces] == ["The sky is blue today.", "Is that not a good thing?"]
    assert [piece.wav for piece in turn.pieces] == [f"sound of {text}".encode() for text in reader.read]
    moments = turn.moments
    assert turn.said.ended_at == pytest.approx(turn.said.handed_at - 0.5)
    assert turn.said.handed_at < moments.heard <= moments.first_word <= moments.first_sound


@pytest.mark.parametrize(
    ("engine_name", "talks", "first"),
    [("embedded", True, True), ("embedded", False, False), ("vllm", True, False)],
    ids=["the cascade", "a small model that does not talk", "an audio LLM"],
)
def test_who_writes_down_what_was_said_before_it_answers(
    client: Client, engine_name: str, talks: bool, first: bool
):
    (card,) = client.models()
    able = {**card.capabilities, "chat": Capability(supported=talks)}
    assert writes_down_first(replace(card, engine=engine_name, capabilities=able)) is first


def test_the_first_sentence_is_spoken_while_the_text_still_comes(
    chat: VoiceChat, engine: FakeEngine, reader: Reader
):
    engine.default = stalls_after("The sky is blue today. ", "Is that")
    chat.asker = replace(chat.asker, hears_words=False)
    chat.say(SPOKEN, 0.5)
    turn = chat.last
    until(chat, lambda: bool(turn.pieces))
    assert not turn.answer.progress.ended
    assert reader.read == ["The sky is blue today."]
    turn.stop()


def test_speaking_stops_the_answer_and_its_sound(chat: VoiceChat, engine: FakeEngine):
    engine.default = stalls_after("The sky is blue today. ", "Is that")
    chat.asker = replace(chat.asker, hears_words=False)
    chat.say(SPOKEN, 0.5)
    turn = chat.last
    until(chat, lambda: bool(turn.pieces))
    playing = chat.playback.number
    chat.barge_in()
    assert engine.exchanges[-1].left.wait(5)
    assert turn.over and turn.text == "The sky is blue today. Is that"
    assert chat.playback.number > playing
    assert not chat.playback.active
    engine.default = says("Another answer.")
    second = said(chat, 100)
    assert len(chat.turns) == 2
    assert second.text == "Another answer."


def test_who_goes_on_speaking_before_the_answer_is_heard_as_a_whole(chat: VoiceChat, engine: FakeEngine):
    engine.script = [stalls_after()]
    chat.say(SPOKEN, 0.5)
    until(chat, lambda: bool(engine.exchanges))
    chat.barge_in()
    turn = said(chat, 100)
    assert chat.turns == [turn]
    assert turn.said.seconds == pytest.approx(2 * len(SPOKEN) / RATE + 0.3)


def test_earlier_turns_go_along_in_words(chat: VoiceChat, engine: FakeEngine):
    said(chat)
    said(chat, 100)
    roles = [(message["role"], message["content"]) for message in engine.exchanges[-1].json["messages"]]
    assert roles[:2] == [
        ("user", "what is the sky"),
        ("assistant", "The sky is blue today. Is that not a good thing?"),
    ]
    assert len(roles) == 3


def test_no_words_are_no_turn(chat: VoiceChat, engine: FakeEngine, reader: Reader):
    engine.default = says("I could not hear any speech in this clip.")
    said(chat)
    chat.look()
    assert chat.turns == []
    assert chat.note == "voice.no_words"
    assert reader.read == []
    assert not chat.busy


def test_a_voice_that_fails_leaves_the_browsers(chat: VoiceChat, reader: Reader):
    reader.error = ClientError("The voice is down.")
    turn = said(chat)
    assert [piece.wav for piece in turn.pieces] == [b"", b""]
    assert turn.voice_error is reader.error
    assert len(reader.read) == 1  # it is not asked again for this answer


def test_a_language_that_the_voice_does_not_know_is_left_to_the_browser(
    chat: VoiceChat, engine: FakeEngine, reader: Reader
):
    engine.default = says("天空是蓝色的。", heard=("天空",))
    turn = said(chat)
    assert [(piece.language, piece.wav) for piece in turn.pieces] == [("zh", b"")]
    assert reader.read == []


def test_an_engine_that_breaks_is_told_and_the_same_words_can_be_asked_again(
    chat: VoiceChat, engine: FakeEngine
):
    chat.asker = replace(chat.asker, hears_words=False)
    engine.script = [breaks_after("The sky")] * 4
    turn = said(chat)
    assert turn.answer.progress.error is not None
    engine.script.clear()
    chat.ask_again(turn)
    again = chat.last
    assert again is not None and again is not turn
    until(chat, lambda: again.over)
    assert chat.turns == [again]
    assert again.said.wav == turn.said.wav


def test_a_monologue_is_cut_at_the_models_limit(chat: VoiceChat):
    chat.asker = replace(chat.asker, longest_s=1.0)
    turn = said(chat)
    assert turn.said.cut
    assert turn.said.seconds == 1.0


def test_an_answer_that_nobody_looks_at_ends(chat: VoiceChat, engine: FakeEngine):
    engine.default = stalls_after("The sky is blue today. ")
    chat.asker = replace(chat.asker, left_alone_s=0.5, hears_words=False)
    chat.say(SPOKEN, 0.5)
    turn = chat.last
    until(chat, lambda: turn.over)
    assert turn.answer.progress.phase == "stopped"


def test_the_browser_tells_what_it_plays(chat: VoiceChat):
    turn = said(chat)
    playback = chat.playback
    assert playback.active and not playback.speaking
    assert len(playback.due) == 2
    number = playback.number
    playback.take({"number": number - 1, "kept": 2, "ended": True})  # of an older answer
    assert len(playback.due) == 2
    playback.take({"number": number, "kept": 1, "began": 12.5})
    assert playback.speaking
    assert [piece.index for piece in playback.due] == [1]
    assert turn.moments.playing == 12.5
    playback.take({"number": number, "kept": 2, "began": 12.5, "ended": True})
    assert not playback.active
    chat.replay(turn)
    assert playback.active and len(playback.due) == 2
    playback.take({"number": playback.number, "kept": 2, "began": 99.0})
    assert turn.moments.playing == 12.5  # a replay is no answer


def test_sound_is_forgotten_before_it_fills_the_memory(chat: VoiceChat, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ui.voice.state.KEPT_SOUND_BYTES", 120_000)
    turns = [said(chat, shift) for shift in (1, 2, 3, 4)]
    assert [bool(turn.said.wav) for turn in turns] == [False, False, True, True]
    assert turns[0].text


def test_the_controller_keeps_nothing_of_what_was_said(chat: VoiceChat, client: Client):
    said(chat)
    until(chat, lambda: not client.has(uploaded[-1]))


def test_start_over_forgets_everything(chat: VoiceChat):
    turn = said(chat)
    chat.clear()
    assert chat.turns == []
    assert not chat.busy
    chat.say(SPOKEN, 0.5)  # the microphone's loop may be late
    assert chat.turns == []
    assert turn.over
