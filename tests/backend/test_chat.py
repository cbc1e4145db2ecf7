"""Answers, streamed and whole, in OpenAI's form with our figures beside them."""

from __future__ import annotations

import base64
import io
import wave

import httpx
import pytest

from tests.backend.conftest import OTHER, VISITOR, Start, error_of, question, row, streamed, text_of
from tests.backend.fake_engine import FakeEngine, says
from tests.model import clips


def inline(data: bytes, form: str = "wav") -> dict[str, object]:
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(data).decode(), "format": form}}


def test_a_stream_has_openai_form_timing_usage_and_an_end(client: httpx.Client, engine: FakeEngine) -> None:
    engine.default = says("Chicken", " rice", heard=["I want ", "rice."])
    events = streamed(client, question(stream_options={"include_usage": True}))
    assert events[-1] == "[DONE]"
    chunks = events[:-1]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert all(chunk["object"] == "chat.completion.chunk" and chunk["model"] == "tiny" for chunk in chunks)
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [chunk["meralion"]["heard"] for chunk in chunks if "heard" in chunk.get("meralion", {})] == [
        "I want ",
        "rice.",
    ]
    assert text_of(events) == "Chicken rice"
    final = next(chunk for chunk in chunks if chunk["choices"] and chunk["choices"][0]["finish_reason"])
    timing = final["meralion"]["timing"]
    assert timing["asr_ms"] == 12.0
    assert timing["instance"] == f"127.0.0.1:{engine.port}"
    assert 0 < timing["ttft_ms"] <= timing["total_ms"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


def test_a_whole_answer_has_the_same_content(client: httpx.Client, engine: FakeEngine) -> None:
    engine.default = says("Chicken", " rice", heard=["I want rice."])
    response = client.post("/v1/chat/completions", json=question())
    body = response.json()
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"]["content"] == "Chicken rice"
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["total_tokens"] == 9
    assert body["meralion"]["heard"] == "I want rice."
    assert body["meralion"]["timing"]["llm_ms"] == 34.0
    assert response.headers["x-meralion-instance"] == f"127.0.0.1:{engine.port}"
    assert "decode;dur=" in response.headers["server-timing"]


def test_the_callers_request_id_is_kept_when_it_is_sane(client: httpx.Client) -> None:
    assert client.get("/healthz", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    odd = client.get("/healthz", headers={"x-request-id": "a b<script>"}).headers["x-request-id"]
    assert odd.startswith("req-")


def test_a_recording_reaches_the_engine_as_16_khz_mono_wav(client: httpx.Client, engine: FakeEngine) -> None:
    client.post(
        "/v1/chat/completions",
        json=question("What?", inline(clips.encoded("mp3", "libmp3lame", layout="stereo"))),
    )
    parts = engine.exchanges[0].json["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["input_audio", "text"]
    assert parts[0]["input_audio"]["format"] == "wav"
    with wave.open(io.BytesIO(base64.b64decode(parts[0]["input_audio"]["data"]))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        assert abs(file.getnframes() / 16_000 - 2.0) < 0.1


def test_an_uploaded_recording_is_referred_to_by_its_owner_only(
    client: httpx.Client, engine: FakeEngine
) -> None:
    file = client.post(
        "/v1/files", files={"file": ("a.wav", clips.plain_wav())}, data={"purpose": "user_data"}
    ).json()
    body = question("What?", {"type": "file", "file": {"file_id": file["id"]}})
    assert client.post("/v1/chat/completions", json=body, headers=VISITOR).status_code == 200
    assert "input_audio" in engine.exchanges[0].body.decode()
    stranger = client.post("/v1/chat/completions", json=body, headers=OTHER)
    assert error_of(stranger, 404)["code"] == "file_not_found"


def test_the_rows_template_sampling_and_upstream_name_are_used(start: Start, engine: FakeEngine) -> None:
    more = 'upstream_model = "far/away"\nprompt_template = "Instruction: {instruction} <SpeechHere>"\n'
    more += "sampling = { temperature = 0.0, max_tokens = 64 }\n"
    client = start(row([engine.url], more=more))
    body = question("Say <SpeechHere>it")
    body["messages"].insert(0, {"role": "developer", "content": "Be brief."})
    client.post("/v1/chat/completions", json={**body, "max_completion_tokens": 9, "stop": "x"})
    sent = engine.exchanges[0].json
    assert sent["model"] == "far/away"
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Instruction: Say it <SpeechHere>"},
    ]
    assert (sent["temperature"], sent["max_tokens"], sent["stop"]) == (0.0, 9, ["x"])


def test_the_key_of_a_row_goes_to_its_engine_and_the_callers_does_not(
    start: Start, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_KEY", "secret-of-the-row")
    client = start(row([engine.url], more='api_key_env = "TINY_KEY"\n'))
    client.post("/v1/chat/completions", json=question(), headers={"authorization": "Bearer callers-own"})
    assert engine.exchanges[0].headers["authorization"] == "bearer secret-of-the-row"


def test_a_recording_alone_is_a_question(client: httpx.Client, engine: FakeEngine) -> None:
    body = question()
    body["messages"][0]["content"] = [inline(clips.plain_wav())]
    assert client.post("/v1/chat/completions", json=body).status_code == 200
    assert [part["type"] for part in engine.exchanges[0].json["messages"][0]["content"]] == ["input_audio"]
