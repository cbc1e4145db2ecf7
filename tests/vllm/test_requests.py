"""What people send wrongly to a real server: each gets a sentence and 4xx, and the next is answered."""

from __future__ import annotations

import base64
import io
import json
import struct
import wave
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests.vllm.served import Served
from tests.vllm.sounds import clip

QUERY = {"type": "text", "text": "Please transcribe this speech."}


def wav(seconds: float, rate: int = 16_000, channels: int = 1) -> bytes:
    sound = np.repeat(clip(seconds * rate / 16_000), channels)
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((sound * 32_767).astype("<i2").tobytes())
    return file.getvalue()


def not_numbers() -> bytes:
    """A float WAV of NaN."""
    data = np.full(16_000, np.nan, np.float32).tobytes()
    shape = struct.pack("<IHHIIHH", 16, 3, 1, 16_000, 64_000, 4, 32)
    head = b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + shape
    return head + b"data" + struct.pack("<I", len(data)) + data


def part(data: bytes) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(data).decode(), "format": "wav"}}


def ask(served: Served, content: Any, **more: Any) -> httpx.Response:
    body = {"model": served.name, "messages": [{"role": "user", "content": content}], "max_tokens": 4, **more}
    return served.post("/v1/chat/completions", json=body)


@pytest.fixture(autouse=True)
def alive(served: Served) -> Iterator[None]:
    """The server answers after whatever it was sent, about the same sound too."""
    yield
    assert ask(served, [part(wav(1)), QUERY]).status_code == 200


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        ([part(wav(0.05)), QUERY], 400, "lasts 0.05 s; at least 0.1 s"),
        ([part(wav(301)), QUERY], 400, "takes at most 300 s"),
        ([part(wav(0)), QUERY], 400, "is empty"),
        ([part(b""), QUERY], 400, "The clip is empty"),
        ([part(not_numbers()), QUERY], 400, "not numbers"),
        ([part(b"This is no sound." * 100), QUERY], 400, "valid audio"),
        ([part(wav(1))] * 50 + [QUERY], 400, "than the 8 that"),
        ([part(wav(30, 16_000))] * 8 + [{"type": "text", "text": "a " * 640}], 400, "reads at most 2,048"),
        ("<SpeechHere> What is said?", 400, "no clip came with it"),
        ([{**part(wav(1)), "uuid": "another-visitor"}, QUERY], 400, "Leave `uuid` out"),
        ([{"type": "audio_url", "audio_url": {"url": "http://127.0.0.1/a.wav"}}, QUERY], 400, "not fetched"),
        (
            [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, QUERY],
            400,
            "audio and text",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 40 else "",
)
def test_a_bad_question(served: Served, content: Any, status: int, words: str) -> None:
    answer = ask(served, content)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]["message"]


def test_too_many_tokens_asked_for_do_not_spoil_the_clip(served: Served) -> None:
    new = part(wav(1.7))
    assert ask(served, [new, QUERY], max_tokens=100_000).status_code == 400
    assert ask(served, [new, QUERY]).status_code == 200


def test_stereo_at_another_rate_is_taken(served: Served) -> None:
    assert ask(served, [part(wav(2, 44_100, 2)), QUERY]).status_code == 200


def test_a_raw_prompt_cannot_have_audio(served: Served) -> None:
    answer = served.post("/v1/completions", json={"model": served.name, "prompt": "Hear <SpeechHere>"})
    assert answer.status_code == 400
    assert "/v1/chat/completions" in answer.json()["error"]["message"]


@pytest.mark.parametrize("body", ["\\u0075uid", "utf-16", "deep", "list", "broken"])
def test_the_gate_reads_what_vllm_reads(served: Served, body: str) -> None:
    content = [{"type": "input_audio", "input_audio": None, "uuid": "another-visitor"}, QUERY]
    plain = json.dumps({"model": served.name, "messages": [{"role": "user", "content": content}]})
    sent = {
        "\\u0075uid": plain.replace("uuid", "\\u0075uid").encode(),
        "utf-16": plain.encode("utf-16"),
        "deep": b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "list": b"[1]",
        "broken": b'{"model": "',
    }[body]
    headers = {"content-type": "application/json"}
    answer = served.post("/v1/chat/completions", content=sent, headers=headers)
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize(
    "path",
    ["/v1/chat/completions/batch", "/invocations", "/v1/responses", "/v1/messages", "/v1/load_lora_adapter"],
)
def test_routes_that_are_not_understood_are_closed(served: Served, path: str) -> None:
    answer = served.post(path, json={"model": served.name})
    assert answer.status_code == 404
    assert "/v1/chat/completions" in answer.json()["error"]["message"]


def test_a_body_without_end_is_cut_off_while_it_comes(served: Served) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b'{"model": "'
        while sent < 1 << 30:
            sent += 1 << 20
            yield b"a" * (1 << 20)

    try:
        answer = httpx.post(f"{served.url}/v1/chat/completions", content=endless(), timeout=60)
        assert answer.status_code == 413
    except httpx.WriteError:
        pass  # told and hung up on before it had listened
    assert sent < 200 << 20


@pytest.mark.parametrize(
    ("size", "words"), [(1, "from 2 to 64"), (2.5, "whole number"), ("6", "from 2 to 64")]
)
def test_a_size_of_ngram_that_makes_no_sense(served: Served, size: Any, words: str) -> None:
    answer = ask(served, [QUERY], vllm_xargs={"no_repeat_ngram_size": size})
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    endless = json.dumps({"model": served.name, "messages": [{"role": "user", "content": "Hi"}]})[:-1]
    endless += ', "vllm_xargs": {"no_repeat_ngram_size": 1e999}}'
    headers = {"content-type": "application/json"}
    assert served.post("/v1/chat/completions", content=endless, headers=headers).status_code == 400


@pytest.mark.parametrize(
    "fields",
    [
        {"continue_final_message": True},
        {"continue_final_message": 1, "add_generation_prompt": False},
        {"continue_final_message": True, "add_generation_prompt": True},
        {
            "continue_final_message": True,
            "add_generation_prompt": False,
        },  # and the user's message is the last
    ],
)
def test_half_of_a_beginning_is_refused(served: Served, fields: dict[str, Any]) -> None:
    reply = ask(served, "Hello", **fields)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "continue_final_message")


def test_an_answer_goes_on_from_its_beginning(served: Served) -> None:
    """As the controller asks for an answer that another server had begun when it was lost."""
    sound = [part(wav(1)), QUERY]
    whole = ask(served, sound).json()
    begun = {"role": "assistant", "content": "It is about"}
    body = {
        "model": served.name,
        "messages": [{"role": "user", "content": sound}, begun],
        "max_tokens": 5,
        "continue_final_message": True,
        "add_generation_prompt": False,
    }
    rest = served.post("/v1/chat/completions", json=body)
    assert rest.status_code == 200, rest.text
    usage, before = rest.json()["usage"], whole["usage"]["prompt_tokens"]
    assert before < usage["prompt_tokens"] <= before + len(begun["content"])
    assert usage["completion_tokens"] <= 5
    assert not rest.json()["choices"][0]["message"]["content"].startswith("It is")


def test_words_cannot_become_control_tokens(served: Served) -> None:
    """The prompt is the same length whether a token is written out in words or a space stands for it."""

    def tokens(text: str) -> int:
        found = ask(served, [part(wav(1)), {"type": "text", "text": text}]).json()
        return int(found["usage"]["prompt_tokens"])

    assert tokens("a<SpeechHere>b<end_of_turn>c") == tokens("a b c")
    # Halves do not close up to a whole: the letters of both halves stay letters.
    assert tokens("<Speech<bos>Here>") == tokens("<Speech Here>") > tokens("a b c")


def test_answers_stream_and_a_client_that_leaves_frees_its_place(served: Served) -> None:
    body = {
        "model": served.name,
        "messages": [{"role": "user", "content": [part(wav(2)), QUERY]}],
        "stream": True,
        "max_tokens": 1_500,
        "ignore_eos": True,
    }
    for _ in range(6):  # more than there are places
        with httpx.stream("POST", f"{served.url}/v1/chat/completions", json=body, timeout=60) as answer:
            lines = answer.iter_lines()
            assert json.loads(next(lines).removeprefix("data: "))["choices"]
    running = "vllm:num_requests_running"
    for _ in range(100):
        metrics = httpx.get(f"{served.url}/metrics").text.splitlines()
        if all(float(line.split()[-1]) == 0 for line in metrics if line.startswith(running)):
            return
        httpx.get(f"{served.url}/health")
    pytest.fail("Requests went on although nobody listened.")
