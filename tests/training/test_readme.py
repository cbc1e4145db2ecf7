"""The commands of training/README.md, as they stand there, with less of everything."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.speech import ROOT
from tests.training.tiny import ENVIRONMENT

BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
LESS = {  # by module: what makes a command short
    "training.data.synthesise": ["clips={train: 4, dev: 2, test: 2}", "longest_words=12"],
    "training.train_whisper": [
        "schedule={steps: 1, warmup: 0}",
        "batch={size: 1, per_device: 1}",
        "data.eval_rows=1",
    ],
    "training.train_audiollm": [
        "schedule={steps: 1, warmup: 0}",
        "batch={size: 1, per_device: 1}",
        "data.eval_rows=1",
    ],
}
ELSEWHERE = {"model.serve"}  # starts a server: test_chain.py does


def commands() -> list[list[str]]:
    text = (ROOT / "training/README.md").read_text("utf-8")
    (block,) = BLOCK.findall(text)
    return [shlex.split(line) for line in block.splitlines()]


@pytest.mark.slow
def test_the_story_from_nothing_to_a_checkpoint(tmp_path: Path) -> None:
    for name in ("training", "model", ".venv-train", ".venv-vllm"):
        if (ROOT / name).exists():
            (tmp_path / name).symlink_to(ROOT / name)
    ran = []
    for command in commands():
        if command[0] == "make" or command[2] in ELSEWHERE or not (tmp_path / command[0]).exists():
            continue
        for change in LESS.get(command[2], []):
            command += ["--set", change]
        done = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True
        )
        assert done.returncode == 0, (command, done.stderr[-3_000:])
        ran.append(command[2])
    assert [module for module in ran if module.startswith("training")] == [
        "training.data.synthesise",
        "training.train_whisper",
        "training.train_audiollm",
        "training.export",
    ]
    config = json.loads((tmp_path / "checkpoints/audiollm_tiny/config.json").read_text("utf-8"))
    assert (config["speech_config"]["d_model"], config["text_config"]["hidden_size"]) == (512, 576)


def test_every_file_and_config_it_names_is_there() -> None:
    text = (ROOT / "training/README.md").read_text("utf-8")
    for config in re.findall(r"training/configs/\S+?\.yaml", text):
        assert (ROOT / config).is_file(), config
    for cell in re.findall(r"^\| [^|]+ \| (`[^|]+`) \|", text, re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", cell):
            assert list((ROOT / "training").glob(name.rstrip("/"))), name
    for test in re.findall(r"`(?:tests/training/)?(test_\w+\.py)`", text):
        assert (ROOT / "tests/training" / test).is_file(), test
