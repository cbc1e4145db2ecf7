"""The whole story in small: data, stage 1, stage 2 killed and resumed, export, vLLM, the right answers."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from model.modeling import AudioLLMForConditionalGeneration
from model.prompts import TRANSCRIBE
from tests.speech import ROOT, human_clips
from tests.training import tiny, tiny_whisper
from tests.training.corpus import Sentence, mnsc, sentences
from training.data.mixture import Rows
from training.run_folder import checkpoints, is_whole

QUESTION = "Which words come first?"
STEPS, SAVED = 90, 30
VLLM = ROOT / ".venv-vllm/bin/python"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transcript and a question about each of a few LibriVox clips, delivered as MNSC is, and prepared."""
    folder = tmp_path_factory.mktemp("data")
    spoken = [Sentence(words, soundfile.read(path, dtype="int16")[0]) for path, words in human_clips()]
    asked = [(sentence, TRANSCRIBE, sentence.text) for sentence in spoken]
    mnsc(folder / "mnsc", "ASR-PART1-Train", asked)
    questions = [(sentence, QUESTION, " ".join(sentence.text.split()[:2])) for sentence in spoken]
    mnsc(folder / "mnsc", "SQA-PART3-Train", questions)
    prompt = sentences()[0]
    mnsc(folder / "mnsc", "ASR-PART1-Test", [(prompt, TRANSCRIBE, prompt.text)])
    source = {"corpus": "mnsc", "folder": str(folder / "mnsc")}
    values = {"out": str(folder / "corpus"), "sources": [source], "splits": {"dev": 0.01, "test": 0.0}}
    config = tiny.write(folder / "prepare.yaml", {**values, "machine": {"cpus": 2}})
    done = tiny.ran("--config", str(config), module="training.data.prepare")
    assert done.returncode == 0, done.stderr[-3_000:]
    return folder / "corpus"


@pytest.fixture(scope="module")
def encoder(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stage 1 on a small random Whisper: its folder."""
    folder = tmp_path_factory.mktemp("stage1")
    whisper = tiny_whisper.random_whisper(folder / "whisper")
    changes: dict[str, Any] = {"schedule": {"steps": 4, "warmup": 1}, "every": {"save": 4, "eval": 4}}
    config = tiny.write(
        folder / "run.yaml", tiny_whisper.settings(folder / "run", whisper, corpus, **changes)
    )
    done = tiny.ran("--config", str(config), module="training.train_whisper")
    assert done.returncode == 0, done.stderr[-3_000:]
    return folder / "run/model"


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random language model with its tokenizer: its folder."""
    folder = tmp_path_factory.mktemp("decoder")
    model = AudioLLMForConditionalGeneration.from_pretrained(tiny.checkpoint(folder / "whole"))
    model.text_decoder.save_pretrained(folder / "llama")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (folder / "whole" / name).exists():
            (folder / "llama" / name).write_bytes((folder / "whole" / name).read_bytes())
    return folder / "llama"


@pytest.fixture(scope="module")
def exported(corpus: Path, encoder: Path, decoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stage 2, killed in the middle and resumed, then exported: the model's folder."""
    folder = tmp_path_factory.mktemp("stage2")
    mixture = {"sources": [{"corpus": str(corpus), "tasks": ["sqa"]}]}
    values = tiny.settings(
        folder / "run",
        Path(),
        tiny.write(folder / "mixture.yaml", mixture),
        model={"checkpoint": None, "encoder": str(encoder), "decoder": str(decoder)},
        schedule={"steps": STEPS, "warmup": 10},
        optimiser={"peak_lr": 3e-3},
        every={"save": SAVED},
    )
    config = tiny.write(folder / "run.yaml", values)
    _kill_after_a_checkpoint(config, folder / "run")
    done = tiny.ran("--config", str(config), "--resume")
    assert done.returncode == 0 and "Going on from" in done.stderr, done.stderr[-3_000:]
    losses = tiny.losses(folder / "run")
    assert sorted(losses) == list(range(1, STEPS + 1)) and losses[STEPS] < 0.3 < losses[1]
    done = tiny.ran(str(folder / "run"), str(folder / "model"), module="training.export")
    assert done.returncode == 0, done.stderr
    return folder / "model"


def _kill_after_a_checkpoint(config: Path, run: Path) -> None:
    process = subprocess.Popen(
        tiny.command("--config", str(config)),
        cwd=ROOT,
        env={**os.environ, **tiny.ENVIRONMENT},
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not any(map(is_whole, checkpoints(run))):
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.fixture(scope="module")
def server(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """vLLM with the exported model."""
    if not VLLM.exists():
        if os.environ.get("CI"):
            pytest.fail("In CI the chain must end in vLLM, and .venv-vllm is not there: run make vllm.")
        pytest.skip("vLLM is not installed here: run make vllm.")
    log = tmp_path_factory.mktemp("serve") / "log"
    limits = ("--dtype", "float32", "--places", "4", "--context", "512")
    with log.open("w") as errors:
        process = subprocess.Popen(
            [str(VLLM), "-m", "model.serve", str(exported), "--port", "0", *limits],
            cwd=ROOT,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "MERALION_EXIT_WITH_PARENT": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout and process.stdin
    said = process.stdout.readline()
    assert said, log.read_text("utf-8")[-6_000:]
    yield json.loads(said)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    process.stdin.close()
    process.stdout.close()


def test_vllm_gives_the_right_answer_about_each_clip(server: dict[str, Any], corpus: Path) -> None:
    rows = Rows(corpus, "train", ("sqa",))
    answers = {row["answer"]: asked(server, row["audio"]) for row in (rows[n] for n in range(len(rows)))}
    assert len(answers) >= 4 and all(right == said for right, said in answers.items()), answers


def asked(server: dict[str, Any], audio: NDArray[np.float32]) -> str:
    """What the server answers to the question about a clip."""
    wav = io.BytesIO()
    soundfile.write(wav, audio, 16_000, "PCM_16", format="WAV")
    sound = {"data": base64.b64encode(wav.getvalue()).decode(), "format": "wav"}
    content = [{"type": "input_audio", "input_audio": sound}, {"type": "text", "text": QUESTION}]
    reply = httpx.post(
        f"http://{server['host']}:{server['port']}/v1/chat/completions",
        json={
            "model": server["model"],
            "messages": [{"role": "user", "content": content}],
            "max_tokens": 24,
            "temperature": 0,
        },
        timeout=120,
    )
    assert reply.status_code == 200, reply.text
    said: str = reply.json()["choices"][0]["message"]["content"]
    return said
