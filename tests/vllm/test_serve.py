"""`python -m model.serve` with a real vLLM on the CPU: it answers, and killed, it leaves nothing."""

from __future__ import annotations

import base64
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.speech import human_clips
from tests.vllm.served import Served, left


def question(text: str) -> dict[str, Any]:
    data = base64.b64encode(human_clips()[0][0].read_bytes()).decode()
    clip = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    return {"role": "user", "content": [clip, {"type": "text", "text": text}]}


def test_it_says_what_it_chose_and_where_it_listens(served: Served) -> None:
    assert served.ready["event"] == "ready"
    assert httpx.get(f"{served.url}/health").status_code == 200
    card = httpx.get(f"{served.url}/v1/models").json()["data"][0]
    assert (card["id"], card["max_model_len"]) == (served.name, 2_048)
    assert "\n  numbers    float32: as asked for\n" in served.log
    assert "\n  places     4: requests answered side by side; more wait\n" in served.log


def test_it_hears(served: Served) -> None:
    body = {"model": served.name, "messages": [question("Please transcribe this speech.")], "max_tokens": 8}
    answer = served.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    used = answer.json()["usage"]
    assert used["prompt_tokens"] > 100  # a window of sound, and words
    assert used["completion_tokens"] > 0
    again = served.post("/v1/chat/completions", json=body).json()
    assert again["choices"][0]["message"] == answer.json()["choices"][0]["message"]  # greedy by default


def test_a_killed_server_is_reported_and_leaves_nothing(
    checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    server = Served(checkpoint("v2"), tmp_path / "log")
    processes, segments = server.processes(), server.segments()
    os.kill(processes[0], signal.SIGKILL)
    try:
        assert server.process.wait(timeout=40) == 1
    finally:
        server.close()
    assert "The vLLM server was killed by SIGKILL" in server.log.splitlines()[-1]
    left(processes, segments)
