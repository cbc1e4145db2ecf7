"""The pages in front of an audio LLM in a real vLLM: one row of the registry is all that differs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.browser.conftest import Launch
from tests.browser.demo import Demo, start_demo, stop_demo
from ui.language import words
from ui.settings import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]

VLLM = ROOT / ".venv-vllm" / "bin" / "python"
ROW = """
[tiny]
title = "Tiny audio LLM"
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

[tiny.sampling]
temperature = 0.0
max_tokens = 24
"""


@pytest.fixture
def demo_on_vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """`make vllm`, then the two commands of the README, then the pages with another registry."""
    if not (VLLM.parent.parent / "vllm").is_file():
        assert not os.environ.get("CI"), "In CI this must run: make vllm"
        pytest.skip("vLLM for CPU is not installed: make vllm")
    folder = tmp_path_factory.mktemp("vllm")
    subprocess.run(
        [VLLM, "-m", "model.checkpoints", "build", folder / "model", "--layout", "v2"], cwd=ROOT, check=True
    )
    command = [
        sys.executable,
        "-m",
        "model.serve",
        folder / "model",
        "--port",
        "0",
        "--places",
        "4",
        "--context",
        "2048",
    ]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
    assert server.stdout
    try:
        said = server.stdout.readline()
        assert said, (folder / "log").read_text()[-4_000:]
        ready = json.loads(said)
        registry = folder / "models.toml"
        registry.write_text(ROW.format(url=f"http://127.0.0.1:{ready['port']}", name=ready["model"]))
        running = start_demo(MERALION_MODELS=str(registry))
        yield running
        stop_demo(running)
    finally:
        server.terminate()
        server.wait(timeout=40)
        server.stdout.close()


def test_a_visitor_is_answered_by_it(launch: Launch, demo_on_vllm: Demo) -> None:
    visitor = launch(demo_on_vllm).open()
    visitor.choose_sample("sl-hawker", "Singlish")
    visitor.ask("What does the speaker want?")
    assert visitor.answer().strip()
    told = visitor.page.locator(".st-key-step_3").inner_text()
    # Weights drawn by lot may say the same again and again, where the page stops them.
    assert "First word after" in told or words("en", "answer.looping") in told
