"""A run can be killed, resumed, starved of disk and fed with nonsense; nothing is lost in silence."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.speech import ROOT
from tests.training import tiny
from training import config as configs
from training import run_folder
from training.audiollm_config import AudioLLMRun
from training.audiollm_trainer import AudioLLMTrainer
from training.build_model import build
from training.data.schema import read_shard, write_shard
from training.errors import CheckpointMismatch, ConfigError, DataError, DivergedError, TrainingError
from training.train_audiollm import train, trainer_of


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the commands that are started beside: sums come out the same to the bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A random model and a corpus."""
    folder = tmp_path_factory.mktemp("tiny")
    return tiny.checkpoint(folder / "model"), tiny.corpus(folder / "corpus")


@pytest.fixture(scope="module")
def unbroken(made: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps from start to end."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    train(parsed(folder, made, data={"eval": str(made[1])}, every={"eval": 3}))
    return folder


def parsed(run: Path, made: tuple[Path, Path], **changes: Any) -> AudioLLMRun:
    return configs.parse(AudioLLMRun, tiny.settings(run, *made, **changes), "test")


def test_a_run_learns_and_writes_what_it_did(unbroken: Path) -> None:
    lines = run_folder.read_metrics(unbroken)
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == [1, 2, 3, 4, 5, 6]
    assert steps[-1]["loss"] < steps[0]["loss"] - 0.5
    for name in ("lr", "grad_norm", "samples_per_s", "tokens_per_s", "mfu", "data_wait"):
        assert all(name in line for line in steps), name
    assert all(0 <= line["data_wait"] <= 1 and 0 < line["mfu"] < 2 for line in steps)
    assert [line["step"] for line in lines if "eval_loss" in line] == [3, 6]
    assert list((unbroken / "tensorboard").iterdir())
    assert configs.load(AudioLLMRun, unbroken / "config.yaml").run == unbroken


def test_the_schedule_is_linear_to_the_peak_and_down(unbroken: Path) -> None:
    rates = [line["lr"] for line in run_folder.read_metrics(unbroken) if "loss" in line]
    assert rates == pytest.approx([0, 0.5e-3, 1e-3, 0.75e-3, 0.5e-3, 0.25e-3])


def test_a_checkpoint_holds_what_is_trained_in_fp32(unbroken: Path) -> None:
    tensors = load_file(unbroken / "checkpoint-6" / "trainable.safetensors")
    assert {name.split(".")[0] for name in tensors} == {
        "speech_encoder", "ln_speech", "speech_audio_adapter", "text_decoder",
    }  # fmt: skip
    assert all(".lora_" in name for name in tensors if name.startswith("text_decoder"))
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert not (unbroken / "checkpoint-6" / "model.safetensors").exists()


@pytest.mark.slow
def test_killed_and_resumed_it_is_the_same_to_the_bit(
    made: tuple[Path, Path], unbroken: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    changes: dict[str, Any] = {"data": {"eval": str(made[1])}, "every": {"eval": 3}}
    config = tiny.write(tmp_path / "run.yaml", tiny.settings(run, *made, **changes))
    process = subprocess.Popen(
        tiny.command("--config", str(config)),
        cwd=ROOT,
        env={**os.environ, **tiny.ENVIRONMENT},
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not (run.is_dir() and _last_step(run) >= 4):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (run / "checkpoint-6").exists()
    resumed = tiny.ran("--config", str(config), "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert f"Going on from {run}/checkpoint-3." in resumed.stderr
    assert tiny.losses(run) == pytest.approx(tiny.losses(unbroken), abs=1e-6)
    ends = [load_file(folder / "checkpoint-6" / "trainable.safetensors") for folder in (run, unbroken)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[1])


def _last_step(run: Path) -> int:
    try:
        return max(tiny.losses(run), default=0)
    except (OSError, ValueError):
        return 0  # not there yet, or a line half written


def test_a_resumed_run_may_spread_its_batch_otherwise(
    made: tuple[Path, Path], unbroken: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(unbroken, run)
    shutil.rmtree(run / "checkpoint-6")
    train(parsed(run, made, batch={"per_device": 2}), resume=True)
    # Dropout is drawn batch by batch, so it is only near.
    assert tiny.losses(run) == pytest.approx(tiny.losses(unbroken), rel=0.05)


def test_resuming_with_another_config_or_model_or_mixture_is_refused(
    made: tuple[Path, Path], unbroken: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointMismatch, match=r"lora\.rank was 8 and is 4"):
        train(parsed(unbroken, made, lora={"rank": 4}), resume=True)
    model, corpus = tmp_path / "model", tmp_path / "corpus"
    tiny.checkpoint(model, seed=1)
    shutil.copytree(unbroken / "checkpoint-3", tmp_path / "run/checkpoint-3")
    configs.save(parsed(tmp_path / "run", (model, made[1])), tmp_path / "run/checkpoint-3/config.yaml")
    run_folder.mark_whole(tmp_path / "run/checkpoint-3")
    with pytest.raises(CheckpointMismatch, match="trained over other frozen weights"):
        train(parsed(tmp_path / "run", (model, made[1])), resume=True)
    corpus.mkdir()
    mixture = tiny.write(corpus / "mixture.yaml", {"sources": [{"corpus": str(made[1])}], "seed": 9})
    other = parsed(tmp_path / "run", (made[0], mixture))
    configs.save(other, tmp_path / "run/checkpoint-3/config.yaml")
    run_folder.mark_whole(tmp_path / "run/checkpoint-3")
    with pytest.raises(CheckpointMismatch, match="another mixture"):
        train(other, resume=True)


def test_a_run_is_not_started_over_another(unbroken: Path, made: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match="--resume"):
        train(parsed(unbroken, made))


def test_a_loss_that_is_no_number_stops_before_it_is_learnt(made: tuple[Path, Path], tmp_path: Path) -> None:
    run = parsed(tmp_path / "run", made, every={"save": 2})
    run.run.mkdir()
    trainer = trainer_of(run, build(run))
    _poison(trainer, at_step=3)
    with pytest.raises(DivergedError) as raised:
        trainer.train()
    said = str(raised.value)
    assert "At step 4 the loss is no number" in said and "The last whole checkpoint is checkpoint-2." in said
    assert any(name in said for name in tiny.ANSWERS)
    assert all(torch.isfinite(value).all() for value in trainer.model.parameters())
    assert run_folder.to_resume(run.run)[0] == run.run / "checkpoint-2"


def _poison(trainer: AudioLLMTrainer, at_step: int) -> None:
    """Make the encoder say NaN from a step on, as an overflow would."""

    def spoil(module: Any, inputs: Any, output: Any) -> Any:
        return output * np.nan if trainer.state.global_step >= at_step else output

    trainer.model.ln_speech.register_forward_hook(spoil)


def test_a_full_disk_is_named_and_nothing_half_stays(made: tuple[Path, Path], tmp_path: Path) -> None:
    run = parsed(tmp_path / "run", made, schedule={"steps": 2, "warmup": 0}, every={"save": 1})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    run.run.mkdir()
    trainer = trainer_of(run, build(run))
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    try:
        with pytest.raises(TrainingError) as raised:
            trainer.train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    said = str(raised.value)
    assert "checkpoint-1 could not be written" in said and "There is no checkpoint yet." in said
    assert not (run.run / "checkpoint-1").exists()


def test_rows_that_are_unfit_are_named_in_the_runs_folder(made: tuple[Path, Path], tmp_path: Path) -> None:
    rows = read_shard(made[1] / "train" / "0.parquet").to_pylist()
    rows[2]["answer"] = "never <eos> said"
    write_shard(tmp_path / "corpus/train/0.parquet", rows)
    data, schedule = {"eval": str(made[1])}, {"steps": 2, "warmup": 0}
    run = parsed(tmp_path / "run", (made[0], tmp_path / "corpus"), data=data, schedule=schedule)
    train(run)
    said = (run.run / "left_out.jsonl").read_text("utf-8")
    assert said.count("\n") == 1 and f"{rows[2]['id']}: its answer holds the control token" in said
    lines = run_folder.read_metrics(run.run)
    assert sum(line.get("left_out", 0) for line in lines) >= 1
    assert "eval_loss" in lines[-1]  # at its end, however seldom it is evaluated on the way


def test_a_gemma_decoder_trains_in_bf16_with_checkpointing(tmp_path: Path, made: tuple[Path, Path]) -> None:
    model = tiny.checkpoint(tmp_path / "model", decoder="gemma2")
    compute = {"precision": "bf16", "gradient_checkpointing": True}
    run = parsed(tmp_path / "run", (model, made[1]), compute=compute, schedule={"steps": 3, "warmup": 0})
    run.run.mkdir()
    trainer = trainer_of(run, build(run))
    trainer.train()
    frozen = {value.dtype for value in trainer.model.parameters() if not value.requires_grad}
    trained = {value.dtype for value in trainer.model.parameters() if value.requires_grad}
    assert frozen == {torch.bfloat16} and trained == {torch.float32}
    found = tiny.losses(run.run)
    assert found[3] < found[1]


class Deadly:
    """Rows whose reader is killed at one of them, as the kernel does when memory runs out."""

    def __init__(self, examples: Any, place: int) -> None:
        self._examples, self._place = examples, place

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Any:
        if index == self._place:
            os.kill(os.getpid(), signal.SIGKILL)
        return self._examples[index]


def test_a_lost_data_worker_is_named(made: tuple[Path, Path], tmp_path: Path) -> None:
    run = parsed(tmp_path / "run", made, data={"workers": 1}, every={"save": 1})
    run.run.mkdir()
    trainer = trainer_of(run, build(run))
    trainer.train_dataset = Deadly(trainer.train_dataset, 18)
    with pytest.raises(TrainingError, match=r"A data worker was lost.*checkpoint-\d.*data\.workers"):
        trainer.train()


def test_resuming_a_run_that_has_ended_says_so_and_changes_nothing(
    unbroken: Path, made: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    before = (unbroken / "metrics.jsonl").read_bytes()
    train(parsed(unbroken, made, data={"eval": str(made[1])}, every={"eval": 3}), resume=True)
    assert "All 6 steps are made" in capsys.readouterr().err
    assert (unbroken / "metrics.jsonl").read_bytes() == before


def test_data_workers_change_nothing_and_their_errors_are_sentences(
    made: tuple[Path, Path], unbroken: Path, tmp_path: Path
) -> None:
    data = {"workers": 2, "eval": str(made[1])}
    train(parsed(tmp_path / "run", made, data=data, every={"eval": 3}))
    assert tiny.losses(tmp_path / "run") == pytest.approx(tiny.losses(unbroken), abs=1e-6)
    rows = read_shard(made[1] / "train" / "0.parquet").to_pylist()
    write_shard(tmp_path / "corpus/train/0.parquet", [{**each, "answer": "<eos>"} for each in rows])
    with pytest.raises(DataError, match=r"^\d+ rows in a line cannot be used"):
        train(parsed(tmp_path / "other", (made[0], tmp_path / "corpus"), data={"workers": 1}))


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--set", "model.checkpoint=nowhere"), 2, "model.checkpoint: nowhere cannot be loaded"),
        (("--set", "data.train=nowhere"), 1, "nowhere"),
        (("--set", "batch.per_device=3"), 2, "does not divide"),
        (("--set", "compute.strategy=fsdp2"), 2, "Start it with torchrun"),
    ],
)
def test_a_mistake_is_a_sentence_not_a_traceback(
    made: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    status: int,
    said: str,
) -> None:
    from training.errors import run as run_command
    from training.train_audiollm import main

    config = tiny.write(tmp_path / "run.yaml", tiny.settings(tmp_path / "run", *made))
    assert run_command(lambda: main(["--config", str(config), *arguments])) == status
    assert said in capsys.readouterr().err
