"""Transcriptions, translations and speech pass through, checked on the way in, whole or as they come."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import Any

import httpx
import numpy as np
import pytest

from tests.backend.conftest import Start, error_of, row
from tests.backend.fake_engine import Exchange, FakeEngine, breaks_after, refuses, sends, stalls_after
from tests.model import clips

LISTEN = "/v1/audio/transcriptions"
SPEAK = "/v1/audio/speech"
CLIP = {"file": ("a.m4a", clips.encoded("ipod", "aac"))}


def fields_of(body: bytes) -> dict[str, list[str]]:
    """The text fields of a multipart body."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(rb'name="([^"]+)"\r\n\r\n(.*?)\r\n--', body, re.DOTALL):
        found.setdefault(name.decode(), []).append(value.decode())
    return found


def test_a_recording_goes_on_as_wav_with_its_fields(client: httpx.Client, engine: FakeEngine) -> None:
    engine.default = sends(b'{"text": "hello"}', content_type="application/json")
    data = {
        "model": "tiny",
        "response_format": "verbose_json",
        "language": "en",
        "temperature": "0",
        "timestamp_granularities[]": ["word", "segment"],
    }
    response = client.post(LISTEN, files=CLIP, data=data)
    assert response.json() == {"text": "hello"}
    assert "decode;dur=" in response.headers["server-timing"]
    sent = engine.exchanges[0]
    assert sent.path == LISTEN
    assert b"RIFF" in sent.body
    fields = fields_of(sent.body)
    assert fields["model"] == ["tiny"]
    assert fields["response_format"] == ["verbose_json"]
    assert fields["timestamp_granularities[]"] == ["word", "segment"]


@pytest.mark.parametrize(
    ("form", "content_type", "body"),
    [
        ("text", "text/plain; charset=utf-8", "hello\n"),
        ("srt", "text/plain; charset=utf-8", "1\n00:00:00,000 --> 00:00:01,000\nhello\n"),
        ("vtt", "text/vtt; charset=utf-8", "WEBVTT\n"),
    ],
)
def test_other_forms_keep_their_type(
    client: httpx.Client, engine: FakeEngine, form: str, content_type: str, body: str
) -> None:
    engine.default = sends(body.encode(), content_type=content_type)
    response = client.post(LISTEN, files=CLIP, data={"model": "tiny", "response_format": form})
    assert (response.headers["content-type"], response.text) == (content_type, body)


def test_a_streamed_transcription_comes_as_it_is_made(client: httpx.Client, engine: FakeEngine) -> None:
    first = b'data: {"type": "transcript.text.delta", "delta": "he"}\n\n'
    engine.default = sends(first, b'data: {"type": "transcript.text.done", "text": "hello"}\n\n')
    with client.stream("POST", LISTEN, files=CLIP, data={"model": "tiny", "stream": "true"}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        types = [json.loads(line[6:])["type"] for line in response.iter_lines() if line]
    assert types == ["transcript.text.delta", "transcript.text.done"]


def test_a_streamed_transcription_that_breaks_ends_with_an_error(
    client: httpx.Client, engine: FakeEngine
) -> None:
    engine.default = sends(b'data: {"type": "transcript.text.delta", "delta": "he"}\n\n', end=False)
    with client.stream("POST", LISTEN, files=CLIP, data={"model": "tiny", "stream": "true"}) as response:
        lines = [line for line in response.iter_lines() if line]
    assert json.loads(lines[-1][6:])["error"]["code"] == "answer_interrupted"


def test_translations_go_their_own_way(client: httpx.Client, engine: FakeEngine) -> None:
    engine.default = sends(b'{"text": "hello"}', content_type="application/json")
    assert client.post("/v1/audio/translations", files=CLIP, data={"model": "tiny"}).status_code == 200
    assert engine.exchanges[0].path == "/v1/audio/translations"


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        ({}, 400, "missing_field"),
        ({"model": "none"}, 404, "model_not_found"),
        ({"model": "tiny", "response_format": "doc"}, 400, "invalid_field"),
        ({"model": "tiny", "language": "not a language"}, 400, "invalid_field"),
        ({"model": "tiny", "stream": "perhaps"}, 400, "invalid_field"),
        ({"model": "tiny", "api_base": "http://x"}, 400, "unknown_field"),
    ],
)
def test_wrong_fields(client: httpx.Client, data: dict[str, str], status: int, code: str) -> None:
    assert error_of(client.post(LISTEN, files=CLIP, data=data), status)["code"] == code


def test_bad_recordings(client: httpx.Client) -> None:
    silent = {"file": ("a.wav", clips.wav(bytes(32_000)))}
    assert error_of(client.post(LISTEN, files=silent, data={"model": "tiny"}), 400)["code"] == "audio_silent"
    missing = client.post(LISTEN, files={"model": (None, "tiny")})
    assert error_of(missing, 400)["code"] == "missing_field"


def test_speech_streams_bytes_with_their_type(client: httpx.Client, engine: FakeEngine) -> None:
    engine.default = sends(b"RIFF", b"more", content_type="audio/wav")
    response = client.post(
        SPEAK, json={"model": "tiny", "input": "Hello<|im_end|>.", "response_format": "wav"}
    )
    assert (response.headers["content-type"], response.content) == ("audio/wav", b"RIFFmore")
    assert engine.exchanges[0].json == {
        "model": "tiny",
        "input": "Hello.",
        "response_format": "wav",
        "speed": 1.0,
    }


def test_speech_that_breaks_is_cut_not_passed_off_as_whole(client: httpx.Client, engine: FakeEngine) -> None:
    engine.default = sends(b"RIFF", content_type="audio/wav", end=False)
    with pytest.raises(httpx.RemoteProtocolError):
        client.post(SPEAK, json={"model": "tiny", "input": "Hello."})


def test_speech_that_is_not_to_be_had(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]))
    engine.default = refuses(503, "No voice is installed. Run `make demo` again.", "speech_unavailable")
    error = error_of(client.post(SPEAK, json={"model": "tiny", "input": "Hello."}), 503)
    assert error["code"] == "speech_unavailable"
    assert error_of(client.post(SPEAK, json={"model": "tiny", "input": " "}), 400)["code"] == "prompt_empty"
    wrong = client.post(SPEAK, json={"model": "tiny", "input": "Hello.", "response_format": "exe"})
    assert error_of(wrong, 400)["code"] == "invalid_field"


def test_a_voice_does_not_answer_and_a_model_without_a_voice_does_not_speak(
    start: Start, engine: FakeEngine
) -> None:
    silent = row([engine.url]).replace("speech = true", 'speech = "It has no voice."')
    client = start(silent + row([engine.url], name="voice", kind="speech"))
    spoken = client.post(SPEAK, json={"model": "tiny", "input": "Hello."})
    assert error_of(spoken, 400)["message"] == "It has no voice."
    asked = client.post(
        "/v1/chat/completions", json={"model": "voice", "messages": [{"role": "user", "content": "?"}]}
    )
    assert error_of(asked, 400)["code"] == "capability_missing"


def test_before_the_first_byte_another_try_is_made_and_leaving_frees_the_place(
    start: Start, engine: FakeEngine
) -> None:
    client = start(row([engine.url]), silence_timeout_s=60.0)
    engine.script = [breaks_after(), sends(b"RIFF", content_type="audio/wav"), stalls_after("RIFF")]
    assert client.post(SPEAK, json={"model": "tiny", "input": "Hello."}).content == b"RIFF"
    with client.stream("POST", SPEAK, json={"model": "tiny", "input": "Hello."}) as response:
        next(response.iter_raw())
    assert engine.exchanges[-1].left.wait(5)


def test_twenty_minutes_go_on_but_only_to_be_written_down(client: httpx.Client, engine: FakeEngine) -> None:
    engine.default = sends(b'{"text": "hello"}', content_type="application/json")
    samples = np.tile(np.frombuffer(clips.pcm16(clips.tone(1)), "<i2"), 1_200)
    long = clips.wav(samples.tobytes())  # 38 MB
    assert client.post(LISTEN, files={"file": long}, data={"model": "tiny"}).json() == {"text": "hello"}
    sent = engine.exchanges[0].body
    assert sent[sent.index(b"RIFF") :].startswith(long)
    assert fields_of(sent)["model"] == ["tiny"]
    assert error_of(client.post("/v1/files", files={"file": long}), 413)["code"] == "audio_too_large"
    short = clips.flac_of_silence(0.2)
    assert error_of(client.post("/v1/files", files={"file": short}), 400)["code"] == "audio_too_long"


def test_more_than_may_be_transcribed_is_refused_while_it_comes(start: Start, engine: FakeEngine) -> None:
    short = start(row([engine.url], more="max_transcription_seconds = 1.5"), max_transcription_bytes=100_000)
    large = short.post(LISTEN, files={"file": bytes(300_000)}, data={"model": "tiny"})
    assert error_of(large, 413)["code"] == "audio_too_large"
    long = short.post(LISTEN, files={"file": clips.plain_wav(2)}, data={"model": "tiny"})
    assert error_of(long, 400)["code"] == "audio_too_long"
    assert engine.exchanges == []


def test_a_long_recording_may_take_its_time_and_a_short_one_not(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]), first_byte_timeout_s=0.5)

    async def slow(exchange: Exchange) -> None:
        await asyncio.sleep(2)
        await sends(b"{}", content_type="application/json")(exchange)

    engine.default = slow
    late = client.post(LISTEN, files={"file": clips.plain_wav(0.5)}, data={"model": "tiny"})
    assert error_of(late, 502)["code"] == "upstream_timeout"
    done = client.post(LISTEN, files={"file": clips.plain_wav(5)}, data={"model": "tiny"})
    assert done.status_code == 200


def test_long_recordings_share_the_memory_there_is(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]), uploads_max_bytes=100_000, silence_timeout_s=60.0)
    body: dict[str, Any] = {
        "files": {"file": clips.plain_wav(2)},
        "data": {"model": "tiny", "stream": "true"},
    }
    engine.script = [stalls_after("one")]
    with client.stream("POST", LISTEN, **body) as response:
        pieces = response.iter_raw()  # kept: an iterator that is let go closes the connection
        next(pieces)
        assert error_of(client.post(LISTEN, **body), 429)["code"] == "uploads_busy"
    assert engine.exchanges[-1].left.wait(5)
    deadline = time.monotonic() + 5
    while (again := client.post(LISTEN, **body)).status_code == 429 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert again.status_code == 200


def test_who_leaves_a_long_transcription_frees_the_engine(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]), first_byte_timeout_s=60.0)
    engine.script = [stalls_after()]
    with pytest.raises(httpx.ReadTimeout):
        client.post(LISTEN, files={"file": clips.plain_wav(60)}, data={"model": "tiny"}, timeout=1)
    assert engine.exchanges[0].left.wait(5)
