"""Controller and embedded engine together, as `python -m backend` starts them, through the openai client."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI

from tests.speech import CASCADE, ROOT, human_clips, sample, wrong

KEY = "mk-9tQ2vXkLrW8sYbN4cZpE7uHjD3mA6fGqTxR1oVi0K5X"  # a caller with a good one is an owner of files

pytestmark = pytest.mark.engine


class System:
    """`python -m backend` on a free port, in a process group of its own."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "backend"],
            cwd=ROOT,
            env={**os.environ, "MERALION_PORT": "0", "MERALION_EXIT_WITH_PARENT": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout
        ready = json.loads(self.process.stdout.readline())
        self.url = f"http://{ready['host']}:{ready['port']}"
        self.openai = OpenAI(base_url=f"{self.url}/v1", api_key=KEY, max_retries=0)

    def engine_pid(self) -> int:
        """The process id of the embedded engine."""
        return next(pid for pid in children(self.process.pid) if "model.embedded" in command(pid))

    def close(self) -> None:
        self.openai.close()
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.process.stdout.close()


def children(pid: int) -> list[int]:
    """Child processes, by /proc."""
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in found for child in path.read_text().split()]


def command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def resident_mb(pid: int) -> float:
    match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(match[1]) / 1024 if match else 0.0


def eventually(true: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether something comes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.05)
    return False


def alive(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    started = System()
    yield started
    started.close()


def question(clip: bytes, text: str, form: str = "wav") -> list[Any]:
    data = base64.b64encode(clip).decode()
    return [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": text},
                {"type": "input_audio", "input_audio": {"data": data, "format": form}},
            ],
        }
    ]


def test_the_client_lists_the_models(system: System) -> None:
    ids = {model.id for model in system.openai.models.list()}
    assert {CASCADE, "kokoro-82m"} <= ids
    assert system.openai.models.retrieve(CASCADE).id == CASCADE


def test_the_client_chats_with_a_file_that_was_uploaded_once(system: System) -> None:
    path, truth = human_clips()[0]
    clip = system.openai.files.create(file=path, purpose="user_data")
    messages: list[Any] = [
        {
            "role": "user",
            "content": [
                {"type": "file", "file": {"file_id": clip.id}},
                {"type": "text", "text": "Please transcribe this speech."},
            ],
        }
    ]
    made = system.openai.chat.completions.create(model=CASCADE, messages=messages)
    assert wrong(truth, made.choices[0].message.content or "") <= 0.10
    assert made.usage and made.usage.completion_tokens > 0
    assert system.openai.files.retrieve(clip.id).id == clip.id
    assert clip.id in {file.id for file in system.openai.files.list()}
    assert system.openai.files.delete(clip.id).deleted
    with pytest.raises(Exception, match="404"):
        system.openai.files.retrieve(clip.id)


def test_the_client_streams_an_answer_and_the_same_question_comes_from_the_cache(system: System) -> None:
    asked = {"model": CASCADE, "messages": question(sample("sl-hawker"), "How much does she pay?", "mp3")}
    texts = []
    for expected in ("miss", "hit"):
        with system.openai.chat.completions.with_streaming_response.create(**asked, stream=True) as reply:
            assert reply.headers["x-meralion-cache"] == expected
            lines = [line.removeprefix("data: ") for line in reply.iter_lines() if line.startswith("data: {")]
        chunks = [json.loads(line) for line in lines]
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
        texts.append("".join(delta.get("content") or "" for delta in deltas))
    assert texts[0] and texts[0] == texts[1]


def test_the_client_transcribes_and_speaks(system: System) -> None:
    sound = system.openai.audio.speech.create(
        model="kokoro-82m", voice="alloy", input="The library opens at nine.", response_format="wav"
    ).content
    made = system.openai.audio.transcriptions.create(model=CASCADE, file=("speech.wav", sound))
    assert wrong("The library opens at nine.", made.text) <= 0.20
    timed = system.openai.audio.transcriptions.create(
        model=CASCADE, file=("clip.mp3", sample("sg-delivery")), response_format="verbose_json"
    )
    assert timed.segments and timed.segments[-1].end > 20


def test_an_answer_whose_engine_is_killed_goes_on_in_the_next_one(system: System) -> None:
    victim = system.engine_pid()
    body = {"model": CASCADE, "stream": True, "messages": question(sample("st-lecture"), "Transcribe", "mp3")}
    events: list[dict[str, Any]] = []
    with httpx.stream("POST", f"{system.url}/v1/chat/completions", json=body, timeout=60) as reply:
        for line in reply.iter_lines():
            if line.startswith("data: {"):
                events.append(json.loads(line.removeprefix("data: ")))
                said = [event for event in events if event.get("choices")]
                if any(event["choices"][0]["delta"].get("content") for event in said) and alive(victim):
                    os.kill(victim, signal.SIGKILL)
    assert not any("error" in event for event in events)
    assert events[-1]["meralion"]["timing"]["resumed"] == 1
    choices = [event["choices"][0] for event in events]
    assert choices[-1]["finish_reason"] == "stop"
    afresh = httpx.post(
        f"{system.url}/v1/chat/completions",
        json={**body, "stream": False},
        headers={"cache-control": "no-cache"},
        timeout=60,
    ).json()
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    assert text == afresh["choices"][0]["message"]["content"]
    assert system.engine_pid() != victim


def test_it_fits_in_the_memory_of_a_small_laptop(system: System) -> None:
    assert resident_mb(system.process.pid) + resident_mb(system.engine_pid()) < 2300


def test_a_killed_controller_leaves_nothing_behind() -> None:
    system = System()
    assert eventually(lambda: any("model.embedded" in command(pid) for pid in children(system.process.pid)))
    engine = system.engine_pid()
    os.kill(system.process.pid, signal.SIGKILL)
    system.process.wait(timeout=10)
    assert eventually(lambda: not alive(engine), 15)
    system.close()


def test_the_readmes_example_runs(system: System) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    for block in blocks:
        code = block.replace("http://127.0.0.1:8000", system.url)
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "chicken rice" in done.stdout


def test_every_command_that_the_documents_name_is_there() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    known = set(re.findall(r"^make (\w+)", listed, re.MULTILINE))
    documents = [*list(ROOT.glob("*.md")), *ROOT.glob("*/README.md"), *ROOT.glob("*/*/README.md")]
    named = {
        command
        for path in documents
        if ".venv" not in path.parts
        for command in re.findall(r"(?:^ {4}|`)make (\w+)", path.read_text(), re.MULTILINE)
    }
    assert {"demo", "test", "check", "samples"} <= known
    assert named <= known
