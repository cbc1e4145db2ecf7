"""The controller in front of a real vLLM: one row of the registry names it, and the same words come."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.speech import ROOT, human_clips
from tests.vllm.served import Served

PYTHON = ROOT / ".venv" / "bin" / "python"
ROW = """
[tiny]
title = "Tiny"
sentence = "An audio language model with random weights."
kind = "chat"
engine = "vllm"
instances = ["{url}"]
upstream_model = "{name}"
licence = "Apache-2.0"
default = true

[tiny.capabilities]
transcribe = true
answer = true
"""

pytestmark = pytest.mark.skipif(not PYTHON.is_file(), reason="the controller's .venv is not there: make demo")


@pytest.fixture(scope="module")
def controller(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    registry = tmp_path_factory.mktemp("registry") / "models.toml"
    registry.write_text(ROW.format(url=served.url, name=served.name))
    settings = {"MERALION_MODELS": str(registry), "MERALION_PORT": "0", "MERALION_EXIT_WITH_PARENT": "1"}
    process = subprocess.Popen(
        [PYTHON, "-m", "backend"],
        cwd=ROOT,
        env={**os.environ, **settings},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    ready = json.loads(process.stdout.readline())
    with httpx.Client(base_url=f"http://{ready['host']}:{ready['port']}", timeout=120) as client:
        yield client
    process.stdin.close()
    process.wait(timeout=10)
    process.stdout.close()


def clip() -> bytes:
    """Human speech as 16 kHz mono WAV, which the controller passes on sample for sample."""
    return human_clips()[0][0].read_bytes()


def question(model: str) -> dict[str, Any]:
    sound = {"data": base64.b64encode(clip()).decode(), "format": "wav"}
    content = [
        {"type": "input_audio", "input_audio": sound},
        {"type": "text", "text": "Please transcribe this speech."},
    ]
    messages = [{"role": "user", "content": content}]
    return {"model": model, "messages": messages, "max_tokens": 12, "temperature": 0}


def test_the_model_is_up(controller: httpx.Client) -> None:
    card = controller.get("/v1/models/tiny").json()["meralion"]
    assert (card["engine"], card["state"]) == ("vllm", "up")


def test_an_answer_streams_through_it_word_for_word(controller: httpx.Client, served: Served) -> None:
    direct = served.post("/v1/chat/completions", json=question(served.name)).json()
    words = []
    with controller.stream(
        "POST", "/v1/chat/completions", json={**question("tiny"), "stream": True}
    ) as reply:
        assert reply.status_code == 200, reply.read()
        assert reply.headers["x-meralion-instance"]
        for line in reply.iter_lines():
            if line.startswith("data: {"):
                chunk = json.loads(line.removeprefix("data: "))
                assert "error" not in chunk
                words += [choice["delta"].get("content") or "" for choice in chunk["choices"]]
    assert len([word for word in words if word]) > 1  # it came in pieces
    assert "".join(words).strip() == direct["choices"][0]["message"]["content"].strip()


def test_a_transcription_comes_through_it(controller: httpx.Client, served: Served) -> None:
    sent = {"files": {"file": ("clip.wav", clip())}, "data": {"model": "tiny"}}
    through = controller.post("/v1/audio/transcriptions", **sent)
    assert through.status_code == 200, through.text
    sent["data"] = {"model": served.name}
    direct = served.post("/v1/audio/transcriptions", **sent)
    assert through.json()["text"] == direct.json()["text"]
