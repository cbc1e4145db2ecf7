"""Recordings of any length, written down by a real vLLM: what each window gives, in order, no more."""

from __future__ import annotations

import base64
import json
import re
import time
from typing import Any

import httpx
import numpy as np
import pytest

from model import prompts
from model.audio import decode, wav_bytes
from model.long_audio.windows import cut
from tests.speech import human_clips, sample
from tests.vllm.served import Served

LISTEN = "/v1/audio/transcriptions"
RATE = 16_000


@pytest.fixture(scope="module")
def recording() -> Any:
    """People with pauses between, 50 s."""
    room = (np.random.default_rng(2).standard_normal(RATE) * 30).astype(np.int16)
    parts = [part for path, _ in human_clips() * 2 for part in (decode(path.read_bytes()), room)]
    return np.concatenate(parts)


def listen(served: Served, pcm: Any, **fields: str) -> httpx.Response:
    files = {"file": wav_bytes(pcm)}
    return served.post(LISTEN, files=files, data={"model": served.name, **fields})


def asked(served: Served, pcm: Any, query: str) -> str:
    """What the chat route says of one window."""
    clip = {"data": base64.b64encode(wav_bytes(pcm)).decode(), "format": "wav"}
    content = [{"type": "input_audio", "input_audio": clip}, {"type": "text", "text": query}]
    most = 64 + round(16 * pcm.size / RATE)
    body = {"model": served.name, "messages": [{"role": "user", "content": content}], "temperature": 0}
    answer = served.post("/v1/chat/completions", json={**body, "max_completion_tokens": most})
    text: str = answer.json()["choices"][0]["message"]["content"]
    return text


def running(served: Served) -> float:
    """Requests that vLLM works on, by its own count."""
    found = re.findall(
        r"^vllm:num_requests_(?:running|waiting)\{.*?\} (\S+)$",
        httpx.get(f"{served.url}/metrics").text,
        re.MULTILINE,
    )
    assert found
    return sum(map(float, found))


@pytest.mark.parametrize(
    ("path", "query"),
    [(LISTEN, prompts.TRANSCRIBE), ("/v1/audio/translations", prompts.TRANSLATE.format(language="English"))],
)
def test_the_windows_of_a_recording_are_asked_about_and_joined(
    served: Served, recording: Any, path: str, query: str
) -> None:
    windows = [window.of(recording) for window in cut(recording)]
    assert len(windows) >= 2
    expected = [asked(served, window, query) for window in windows]
    reply = served.post(path, files={"file": wav_bytes(recording)}, data={"model": served.name})
    assert reply.status_code == 200, reply.text
    assert reply.json()["text"].split() == " ".join(expected).split()


def test_every_form_is_given(served: Served, recording: Any) -> None:
    text = listen(served, recording, response_format="text").text
    timed = listen(served, recording, response_format="verbose_json").json()
    assert timed["text"] == text.strip()
    assert timed["duration"] == pytest.approx(recording.size / RATE, abs=0.01)
    times = [time for one in timed["segments"] for time in (one["start"], one["end"])]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= timed["duration"]
    assert listen(served, recording, response_format="srt").text.startswith("1\n00:00:0")
    assert listen(served, recording, response_format="vtt").text.startswith("WEBVTT\n\n00:00:0")
    lines = listen(served, recording, stream="true").text.split("\n\n")
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    assert "".join(event["delta"] for event in events[:-1]) == events[-1]["text"]
    assert events[-1]["text"].strip() == text.strip()


@pytest.mark.parametrize("level", [0, 30])
def test_nothing_said_is_nothing_written(served: Served, level: int) -> None:
    pcm = (np.random.default_rng(1).standard_normal(RATE * 40) * level).astype(np.int16)
    assert listen(served, pcm).json() == {"text": ""}


@pytest.mark.parametrize(
    ("file", "status", "code"),
    [
        (b"", 400, "audio_empty"),
        (b"These are only words.\n" * 80, 400, "audio_not_audio"),
        (wav_bytes(np.ones(800, np.int16)), 400, "audio_too_short"),
        (bytes(258 << 20), 413, "body_too_large"),
    ],
    ids=["empty", "words", "short", "large"],
)
def test_what_cannot_be_read_is_explained_and_the_server_lives(
    served: Served, file: bytes, status: int, code: str
) -> None:
    reply = served.post(LISTEN, files={"file": file}, data={"model": served.name})
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert listen(served, decode(human_clips()[1][0].read_bytes())).status_code == 200


def test_who_leaves_stops_vllm(served: Served) -> None:
    long = np.tile(decode(sample("sg-tour")), 6)
    fields = {"model": served.name, "stream": "true"}
    with httpx.stream(
        "POST", served.url + LISTEN, files={"file": wav_bytes(long)}, data=fields, timeout=60
    ) as reply:
        assert reply.status_code == 200
        lines = reply.iter_lines()
        next(lines)
        assert running(served) > 0
    deadline = time.monotonic() + 10
    while running(served) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    assert running(served) == 0
