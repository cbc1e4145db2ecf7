"""The middleware for vLLM's server, around a real application that hears: the embedded engine's own.

What it asks of the application behind it is all that vLLM's chat route gives too.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from openai import OpenAI
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from model.audio import decode, wav_bytes
from model.embedded.app import create_app
from model.embedded.models import load
from model.embedded.settings import Settings
from model.long_audio.windows import cut
from model.vllm_plugin.transcriptions import CHAT, Transcriptions
from samples.wer import words
from tests.model import clips
from tests.speech import CASCADE, human_clips, sample, wrong

pytestmark = pytest.mark.engine

LISTEN = "/v1/audio/transcriptions"
KEY = "a-key-for-the-tests"
# What vLLM's server knows of the checkpoint it serves: one that says nothing of how its answers are written.
VLLM_STATE = SimpleNamespace(
    vllm_config=SimpleNamespace(model_config=SimpleNamespace(hf_config=SimpleNamespace(answers=None)))
)


class Guarded:
    """A server that wants a key, as vLLM's does inside the middleware, and remembers what it was asked."""

    def __init__(self, app: Starlette) -> None:
        self.app = app
        self.asked: list[dict[str, Any]] = []
        self.running = self.most_running = 0
        self.fails = False
        self.fails_after: int | None = None  # windows

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == "/health":
            await self.app(scope, receive, send)
            return
        if (b"authorization", f"Bearer {KEY}".encode()) not in scope["headers"]:
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b'{"error": "Unauthorized"}'})
            return
        if scope["path"] != CHAT:
            await self.app(scope, receive, send)
            return
        if self.fails:
            raise RuntimeError("the model broke")
        first = await receive()
        if self.fails_after is not None and len(self.asked) >= self.fails_after:
            raise RuntimeError("the model broke")
        self.asked.append(json.loads(first["body"]))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        bodies = [first]

        async def again() -> Any:
            return bodies.pop() if bodies else await receive()

        try:
            await self.app(scope, again, send)
        finally:
            self.running -= 1


class Server:
    """The middleware around the guarded engine, on a real socket."""

    def __init__(self, guarded: Guarded) -> None:
        self.guarded = guarded
        listening = Transcriptions(guarded)

        async def as_in_vllm(scope: Scope, receive: Receive, send: Send) -> None:
            await listening({**scope, "app": SimpleNamespace(state=VLLM_STATE)}, receive, send)

        config = uvicorn.Config(as_in_vllm, port=0, log_level="warning", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self._server.started and time.monotonic() < deadline:
            time.sleep(0.02)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.http = httpx.Client(
            base_url=self.url, timeout=120, headers={"Authorization": f"Bearer {KEY}"}, trust_env=False
        )
        self.openai = OpenAI(base_url=f"{self.url}/v1", api_key=KEY, max_retries=0)

    def close(self) -> None:
        self.http.close()
        self.openai.close()
        self._server.should_exit = True
        self._thread.join(20)

    def transcribe(self, file: bytes, **fields: str) -> httpx.Response:
        return self.http.post(LISTEN, files={"file": file}, data={"model": CASCADE, **fields})


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    models = load(Settings(speech=False, threads=1))  # more would spin while others work
    started = Server(Guarded(create_app(models)))
    yield started
    started.close()
    asyncio.run(models.close())


@pytest.fixture(scope="module")
def joined() -> tuple[bytes, str]:
    """Every human clip twice with a second of a quiet room between, about 50 s, and its words."""
    room = (np.random.default_rng(2).standard_normal(16_000) * 30).astype(np.int16)
    found = human_clips() * 2
    pcm = np.concatenate([part for path, _ in found for part in (decode(path.read_bytes()), room)])
    return wav_bytes(pcm), " ".join(truth for _, truth in found)


def test_a_file_of_several_windows_is_read_in_order(server: Server, joined: tuple[bytes, str]) -> None:
    file, truth = joined
    server.guarded.asked.clear()
    reply = server.transcribe(file)
    assert reply.status_code == 200, reply.text
    assert wrong(truth, reply.json()["text"]) <= 0.08
    asked = server.guarded.asked
    assert len(asked) >= 2
    assert 2 <= server.guarded.most_running <= 4
    for question in asked:
        sound, text = question["messages"][0]["content"]
        assert text["text"] == "Please transcribe this speech."
        assert sound["input_audio"]["format"] == "wav"
        assert (question["temperature"], question["stream"]) == (0, True)
        assert 64 < question["max_completion_tokens"] <= 64 + 30 * 16


@pytest.mark.parametrize("form", ["text", "verbose_json", "srt", "vtt"])
def test_every_form_through_the_client(server: Server, joined: tuple[bytes, str], form: Any) -> None:
    file, truth = joined
    made = server.openai.audio.transcriptions.create(
        model=CASCADE, file=("a.wav", file), response_format=form
    )
    text = made if isinstance(made, str) else made.text
    if form in ("srt", "vtt"):
        assert text.startswith("1\n00:00:0" if form == "srt" else "WEBVTT\n\n00:00:0")
        assert "00:00:3" in text
        text = " ".join(line for line in text.splitlines()[form == "vtt" :] if line and line[0].isalpha())
    assert wrong(truth, text) <= 0.08
    if form == "verbose_json":
        times = [time for segment in made.segments for time in (segment.start, segment.end)]
        assert times == sorted(times)
        assert times[0] < 1.5 and made.duration - 3 < times[-1] <= made.duration
        assert words(" ".join(segment.text for segment in made.segments)) == words(text)


def test_times_of_sentences_are_near_the_truth(server: Server, joined: tuple[bytes, str]) -> None:
    """The second reading of each clip begins half the file after the first."""
    segments = server.transcribe(joined[0], response_format="verbose_json").json()["segments"]
    starts = [segment["start"] for segment in segments if segment["text"].startswith("Mr. John Dash")]
    half = decode(joined[0]).size / 32_000
    if len(starts) == 2:
        assert starts[1] - starts[0] == pytest.approx(half, abs=2)


def test_words_stream_in_order_as_windows_are_read(server: Server, joined: tuple[bytes, str]) -> None:
    file, truth = joined
    events = list(server.openai.audio.transcriptions.create(model=CASCADE, file=("a.wav", file), stream=True))
    assert {event.type for event in events[:-1]} == {"transcript.text.delta"}
    assert events[-1].type == "transcript.text.done"
    assert "".join(event.delta for event in events[:-1]) == events[-1].text
    assert wrong(truth, events[-1].text) <= 0.08


def streamed(server: Server, file: bytes, **fields: str) -> list[dict[str, Any]]:
    """The events of a timed stream but for [DONE]."""
    reply = server.transcribe(file, stream="true", response_format="verbose_json", **fields)
    lines = [line.removeprefix("data: ") for line in reply.text.split("\n\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def test_a_timed_stream_tells_each_window_s_sentences_as_it_is_read(
    server: Server, joined: tuple[bytes, str]
) -> None:
    """The same sentences, at the same times, as in the reply that is not streamed."""
    told = streamed(server, joined[0])
    whole = server.transcribe(joined[0], response_format="verbose_json").json()
    sentences = [event for event in told if event["type"] == "transcript.text.segment"]
    fields = ("id", "start", "end", "text")
    assert [[one[name] for name in fields] for one in sentences] == [
        [one[name] for name in fields] for one in whole["segments"]
    ]
    assert "".join(event.get("delta", "") for event in told) == told[-1]["text"] == whole["text"]
    windows = list(cut(decode(joined[0])))
    assert len(windows) >= 2
    progress = [event["read_until"] for event in told if event["type"] == "meralion.progress"]
    assert progress[: len(windows) + 1] == [0, *(round(window.end, 2) for window in windows)]
    assert progress[-1] == whole["duration"]
    kinds = [event["type"] for event in told]
    assert kinds.index("meralion.progress", 1) < len(kinds) - 1 - kinds[::-1].index("transcript.text.delta")


def test_a_model_that_breaks_on_the_way_is_told_after_the_sentences_of_whole_windows(
    server: Server, joined: tuple[bytes, str]
) -> None:
    server.guarded.asked.clear()
    server.guarded.fails_after = 1
    try:
        told = streamed(server, joined[0])
    finally:
        server.guarded.fails_after = None
    assert told[-1]["error"]["code"] == "engine_failed"
    assert "transcript.text.done" not in [event.get("type") for event in told]
    if any(event.get("type") == "transcript.text.segment" for event in told):
        progress = [event["read_until"] for event in told if event.get("type") == "meralion.progress"]
        assert len(progress) == 2


def test_a_timed_stream_of_nothing_said_reaches_its_end(server: Server) -> None:
    *progress, done = streamed(server, wav_bytes(np.zeros(16_000 * 70, np.int16)))
    assert [event["read_until"] for event in progress] == [0, 70]
    assert (done["type"], done["text"]) == ("transcript.text.done", "")


def test_a_translation_asks_for_english(server: Server) -> None:
    server.guarded.asked.clear()
    path, truth = human_clips()[0]
    files = {"file": path.read_bytes()}
    reply = server.http.post("/v1/audio/translations", files=files, data={"model": CASCADE})
    assert wrong(truth, reply.json()["text"].removesuffix("\n\n(The clip is in English already.)")) <= 0.15
    (_, text) = server.guarded.asked[0]["messages"][0]["content"]
    assert text["text"] == "Can you please translate this speech into written English?"


@pytest.mark.parametrize("level", [0, 30])
def test_nothing_said_is_nothing_written(server: Server, level: int) -> None:
    pcm = (np.random.default_rng(1).standard_normal(16_000 * 70) * level).astype(np.int16)
    server.guarded.asked.clear()
    assert server.transcribe(wav_bytes(pcm)).json() == {"text": ""}
    timed = server.transcribe(wav_bytes(pcm), response_format="verbose_json").json()
    assert (timed["text"], timed["segments"]) == ("", [])
    assert "transcript.text.done" in server.transcribe(wav_bytes(pcm), stream="true").text
    assert server.guarded.asked == []


BAD: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "empty": (b"", {}, 400, "audio_empty"),
    "words": (b"These are only words, whatever the name says.\n" * 40, {}, 400, "audio_not_audio"),
    "cut": (clips.plain_wav(4)[:30_000], {}, 400, "audio_truncated"),
    "short": (clips.plain_wav(0.05), {}, 400, "audio_too_short"),
    "three hours": (clips.flac_of_silence(3), {}, 400, "audio_too_long"),
    "model": (clips.plain_wav(), {"model": "gpt-4"}, 404, "model_not_found"),
    "format": (clips.plain_wav(), {"response_format": "doc"}, 400, "invalid_value"),
    "word times": (
        clips.plain_wav(),
        {"response_format": "verbose_json", "timestamp_granularities[]": "word"},
        400,
        "words_have_no_times",
    ),
    "large": (bytes(258 << 20), {}, 413, "body_too_large"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_explained_and_the_server_lives(server: Server, name: str) -> None:
    file, fields, status, code = BAD[name]
    reply = server.transcribe(file, **fields)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert reply.json()["error"]["message"][-1] == "."
    assert server.transcribe(human_clips()[1][0].read_bytes()).status_code == 200


def test_no_file_and_no_form(server: Server) -> None:
    missing = server.http.post(LISTEN, files={"model": (None, CASCADE)})
    assert (missing.status_code, missing.json()["error"]["code"]) == (400, "file_missing")
    other = server.http.post(LISTEN, json={"model": CASCADE})
    assert (other.status_code, other.json()["error"]["code"]) == (400, "content_type")


def test_without_the_key_nothing_is_read(server: Server) -> None:
    reply = httpx.post(f"{server.url}{LISTEN}", files={"file": clips.plain_wav()}, data={"model": CASCADE})
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "key_refused")


def test_a_model_that_breaks_is_told_before_and_after_the_first_word(server: Server) -> None:
    clip = human_clips()[0][0].read_bytes()
    server.guarded.fails = True
    try:
        for fields in ({}, {"stream": "true"}):
            reply = server.transcribe(clip, **fields)
            assert (reply.status_code, reply.json()["error"]["code"]) == (500, "engine_failed")
    finally:
        server.guarded.fails = False
    assert server.transcribe(clip).status_code == 200


@pytest.mark.parametrize("stream", [True, False])
def test_who_leaves_stops_the_model(server: Server, stream: bool) -> None:
    file = wav_bytes(np.tile(decode(sample("sg-tour")), 4))
    body: dict[str, Any] = {
        "files": {"file": file},
        "data": {"model": CASCADE, "stream": str(stream).lower()},
    }
    server.guarded.asked.clear()
    if stream:
        with server.http.stream("POST", LISTEN, **body) as reply:
            next(reply.iter_lines())
    else:
        with pytest.raises(httpx.ReadTimeout):
            server.http.post(LISTEN, **body, timeout=3)
    deadline = time.monotonic() + 10
    while server.guarded.running and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.guarded.running == 0
    asked = len(server.guarded.asked)
    assert 0 < asked < 16
    time.sleep(1)
    assert len(server.guarded.asked) == asked


def test_everything_else_passes(server: Server) -> None:
    assert server.http.get("/health").json()["status"] == "ok"
    assert server.http.get(LISTEN).status_code == 405
    assert CASCADE in server.http.get("/v1/models").text
