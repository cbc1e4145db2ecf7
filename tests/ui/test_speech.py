"""What a model reads aloud for the pages."""

from __future__ import annotations

import io
import struct
import wave
from collections.abc import Iterator

import pytest

from tests.backend.fake_engine import FakeEngine, refuses, sends
from tests.ui.conftest import NAME, tone
from ui.client import Client, new_http
from ui.sound import with_true_length
from ui.visitor import Visitor
from ui.wire import ClientError

UNKNOWN = struct.pack("<I", 0xFFFFFFFF)


def unmeasured(wav: bytes, size: bytes = UNKNOWN) -> bytes:
    """A WAV as it is sent while it is made: its length is not known."""
    return wav[:4] + size + wav[8:40] + size + wav[44:]


@pytest.fixture
def straight(engine: FakeEngine) -> Iterator[Client]:
    """The engine alone: the controller of these tests has no model with a voice."""
    with new_http() as http:
        yield Client(lambda: engine.url, Visitor(NAME), http, local=True)


def test_a_text_is_read_aloud(straight: Client, engine: FakeEngine):
    wav = tone(1)
    whole = unmeasured(wav)
    engine.default = sends(whole[:1000], whole[1000:], content_type="audio/wav")
    assert straight.speak("Two kopi, please.", "voice") == wav
    (sent,) = engine.exchanges
    assert sent.path == "/v1/audio/speech"
    asked = {"model": "voice", "input": "Two kopi, please.", "response_format": "wav"}
    assert sent.json == {**asked, "speed": 1.0}
    straight.speak("One teh.", "voice", "ash", 0.5)
    assert sent.json | {"input": "One teh.", "voice": "ash", "speed": 0.5} == engine.exchanges[1].json


def test_a_model_without_a_voice_says_so(client: Client, engine: FakeEngine):
    with pytest.raises(ClientError, match="It writes only"):
        client.speak("Two kopi, please.", "tiny")
    assert engine.exchanges == []


def test_a_refusal_and_a_voice_that_breaks_off_are_told(straight: Client, engine: FakeEngine):
    engine.default = refuses(503, "No voice is installed. Run `make demo` again.", "speech_unavailable")
    with pytest.raises(ClientError) as raised:
        straight.speak("Two kopi, please.", "voice")
    assert (raised.value.code, raised.value.status) == ("speech_unavailable", 503)
    engine.default = sends(tone(1)[:500], content_type="audio/wav", end=False)
    with pytest.raises(ClientError):
        straight.speak("Two kopi, please.", "voice")


@pytest.mark.parametrize("size", [UNKNOWN, bytes(4), struct.pack("<I", 0x7FFFFFFF)])
def test_a_wav_is_told_its_length(size: bytes):
    mended = with_true_length(unmeasured(tone(2), size))
    with wave.open(io.BytesIO(mended)) as file:
        assert file.getnframes() == 32_000
    assert mended == tone(2)


@pytest.mark.parametrize(
    "sound", [b"", b"RIFF", b"ID3 an mp3", tone(1), tone(1)[:20], b"RIFF____WAVE" + bytes(90)]
)
def test_what_is_in_order_or_no_such_wav_stays_as_it_is(sound: bytes):
    assert with_true_length(sound) == sound


def test_other_parts_of_a_wav_are_kept():
    wav = tone(1)
    note = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    whole = wav[:36] + note + wav[36:40] + UNKNOWN + wav[44:]
    with wave.open(io.BytesIO(with_true_length(whole))) as file:
        assert file.getnframes() == 16_000
