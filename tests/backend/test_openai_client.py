"""The `openai` package, as anybody would use it, against the controller."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.backend.fake_engine import FakeEngine, says, sends
from tests.model import clips


@pytest.fixture
def openai_client(client: httpx.Client) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{client.base_url}/v1",
        api_key="mk-9tQ2vXkLrW8sYbN4cZpE7uHjD3mA6fGqTxR1oVi0K5X",
        max_retries=0,
    ) as ready:
        yield ready


def test_models(openai_client: openai.OpenAI) -> None:
    assert [model.id for model in openai_client.models.list()] == ["tiny"]
    assert openai_client.models.retrieve("tiny").object == "model"


def test_chat_streamed_and_whole_with_sound(openai_client: openai.OpenAI, engine: FakeEngine) -> None:
    engine.default = says("Chicken", " rice")
    sound = base64.b64encode(clips.encoded("mp3", "libmp3lame")).decode()
    messages: Any = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What does he order?"},
                {"type": "input_audio", "input_audio": {"data": sound, "format": "mp3"}},
            ],
        }
    ]
    whole = openai_client.chat.completions.create(model="tiny", messages=messages)
    assert whole.choices[0].message.content == "Chicken rice"
    stream = openai_client.chat.completions.create(
        model="tiny", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Chicken rice"
    )
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 2


def test_files(openai_client: openai.OpenAI) -> None:
    file = openai_client.files.create(file=("a.wav", clips.plain_wav()), purpose="user_data")
    assert openai_client.files.retrieve(file.id).filename == "a.wav"
    assert [one.id for one in openai_client.files.list()] == [file.id]
    assert openai_client.files.content(file.id).content[:4] == b"RIFF"
    assert openai_client.files.delete(file.id).deleted


def test_transcriptions_and_speech(openai_client: openai.OpenAI, engine: FakeEngine) -> None:
    engine.default = sends(b'{"text": "hello"}', content_type="application/json")
    recording = ("a.m4a", clips.encoded("ipod", "aac"))
    assert openai_client.audio.transcriptions.create(model="tiny", file=recording).text == "hello"
    engine.default = sends(b"RIFF", b"data", content_type="audio/wav")
    speech = openai_client.audio.speech.create(model="tiny", input="Hi.", voice="any", response_format="wav")
    assert speech.content == b"RIFFdata"


def test_errors_are_the_packages_own(openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        openai_client.models.retrieve("none")
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as refused:
        openai_client.files.create(file=("a.wav", b"words"), purpose="user_data")
    assert refused.value.code == "audio_not_audio"
