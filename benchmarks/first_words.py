"""How long a visitor waits: start, first words and whole answers through controller and embedded engine.

python -m benchmarks.first_words --runs 5
"""

import argparse
import base64
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx

from benchmarks.report import save
from model.audio import SAMPLE_RATE, decode, wav_bytes

ROOT = Path(__file__).parents[1]
CASES = (  # seconds of the clip, instruction
    (10, "Please transcribe this speech."),
    (10, "What is this about?"),
    (30, "Please transcribe this speech."),
    (60, "Please transcribe this speech."),
)


def start() -> tuple[subprocess.Popen[bytes], str, float]:
    """Start the controller; seconds until the first model is up."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "backend"],
        cwd=ROOT,
        env={**os.environ, "MERALION_PORT": "0", "MERALION_EXIT_WITH_PARENT": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout
    url = f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
    while httpx.get(f"{url}/healthz").json()["status"] != "ok":
        time.sleep(0.05)
    return process, url, time.perf_counter() - began


def ask(url: str, clip: bytes, instruction: str) -> tuple[float, float]:
    """Seconds to the first words, of what was heard or of the answer, and to the end."""
    data = base64.b64encode(clip).decode()
    content = [
        {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
        {"type": "text", "text": instruction},
    ]
    body = {
        "model": "whisper-base-smollm2",
        "stream": True,
        "messages": [{"role": "user", "content": content}],
    }
    headers = {"cache-control": "no-cache"}
    began = time.perf_counter()
    first = 0.0
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, headers=headers, timeout=120) as reply:
        for line in reply.iter_lines():
            if not line.startswith("data: {"):
                continue
            event = json.loads(line.removeprefix("data: "))
            said = event["choices"][0]["delta"].get("content") or event.get("meralion", {}).get("heard")
            first = first or (time.perf_counter() - began if said else 0.0)
    return first, time.perf_counter() - began


def resident(pid: int) -> int:
    """Resident memory in MB of a process and its children."""
    match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    children = " ".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")).split()
    return (int(match[1]) // 1024 if match else 0) + sum(resident(int(child)) for child in children)


def main() -> None:
    """Measure every case on fresh clips and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    sound = decode((ROOT / "samples/clips/sg-tour.mp3").read_bytes())
    process, url, ready = start()
    rows = [["start", "controller and engine, weights checked", f"{ready:.1f} s", ""]]
    ask(url, wav_bytes(sound[-5 * SAMPLE_RATE :]), CASES[0][1])  # warm
    for number, (seconds, instruction) in enumerate(CASES):
        times = []
        for run in range(runs):
            # Another cut each time: the engine remembers a clip that it has heard.
            offset = run * SAMPLE_RATE * 2 + number * 100
            times.append(ask(url, wav_bytes(sound[offset : offset + seconds * SAMPLE_RATE]), instruction))
        first, whole = (statistics.median(column) for column in zip(*times, strict=True))
        rows.append([f"{seconds} s clip", instruction, f"{first:.2f} s", f"{whole:.2f} s"])
    rows.append(
        ["memory", "controller, decoder and engine, after all of this", f"{resident(process.pid)} MB", ""]
    )
    assert process.stdin
    process.stdin.close()
    process.wait()
    save(
        "first_words",
        "How long a visitor waits",
        f"python -m benchmarks.first_words --runs {runs}",
        ["what", "asked", "first words", "all of it"],
        rows,
        f"Medians of {runs}. First words are those of the transcript, or of what was heard before an answer.",
    )


if __name__ == "__main__":
    main()
