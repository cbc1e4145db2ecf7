"""The same step, however many processes and micro-batches it is cut into."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.training import tiny
from tests.training.gradients import write
from training import config as configs
from training.audiollm_config import AudioLLMRun
from training.distributed import accumulated
from training.errors import ConfigError

STEP: dict[str, Any] = {
    "schedule": {"steps": 1, "warmup": 0},
    "optimiser": {"clip": 1e9},
    "every": {"save": 1},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A random model and a corpus whose answers differ in length."""
    folder = tmp_path_factory.mktemp("tiny")
    return tiny.checkpoint(folder / "model"), tiny.corpus(folder / "corpus")


def gradients(folder: Path, made: tuple[Path, Path], processes: int, per_device: int) -> tuple[Any, float]:
    """The gradients and the loss of a step of four samples."""
    name = f"{processes}-{per_device}"
    batch = {"size": 4, "per_device": per_device}
    config = tiny.write(folder / f"{name}.yaml", tiny.settings(folder / name, *made, batch=batch, **STEP))
    out = folder / f"{name}.safetensors"
    if processes == 1:
        write(config, out)
    else:
        done = tiny.ran(str(config), str(out), processes=processes, module="tests.training.gradients")
        assert done.returncode == 0, done.stderr[-3_000:]
    return load_file(out), tiny.losses(folder / name)[1]


@pytest.mark.slow
def test_two_processes_and_two_micro_batches_give_the_gradients_of_one(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    whole, loss = gradients(tmp_path, made, processes=1, per_device=4)
    for processes, per_device in ((1, 2), (2, 2)):
        found, again = gradients(tmp_path, made, processes, per_device)
        assert found.keys() == whole.keys() and again == pytest.approx(loss, rel=1e-6)
        assert max(float((found[name] - whole[name]).abs().max()) for name in whole) < 1e-5
    assert max(float(gradient.abs().max()) for gradient in whole.values()) > 1e-2


@pytest.mark.slow
def test_fsdp2_trains_saves_what_is_trained_and_resumes(made: tuple[Path, Path], tmp_path: Path) -> None:
    """With all that the 10B run can turn on: Gemma 2, bf16, activation checkpointing."""
    run, made = tmp_path / "run", (tiny.checkpoint(tmp_path / "gemma", decoder="gemma2"), made[1])
    compute = {"strategy": "fsdp2", "precision": "bf16", "gradient_checkpointing": True}
    changes: dict[str, Any] = {"compute": compute, "every": {"save": 1}}
    batch, schedule = {"size": 4, "per_device": 2}, {"steps": 2, "warmup": 0}
    values = tiny.settings(run, *made, batch=batch, schedule=schedule, **changes)
    config = tiny.write(tmp_path / "run.yaml", values)
    done = tiny.ran("--config", str(config), processes=2)
    assert done.returncode == 0, done.stderr[-3_000:]
    unbroken, end = tiny.losses(run), load_file(run / "checkpoint-2" / "trainable.safetensors")
    assert not [path for path in (run / "checkpoint-2").iterdir() if "fsdp" in path.name]
    shutil.rmtree(run / "checkpoint-2")
    done = tiny.ran("--config", str(config), "--resume", processes=2)
    assert done.returncode == 0, done.stderr[-3_000:]
    assert tiny.losses(run) == pytest.approx(unbroken, rel=1e-6)
    again = load_file(run / "checkpoint-2" / "trainable.safetensors")
    assert max(float((again[name] - end[name]).abs().max()) for name in end) < 1e-6


def test_a_batch_that_does_not_come_out_even_is_refused(made: tuple[Path, Path], tmp_path: Path) -> None:
    values = tiny.settings(tmp_path, *made, batch={"size": 640, "per_device": 5})
    run = configs.parse(AudioLLMRun, values, "test")
    assert [accumulated(run.batch, world) for world in (1, 8, 128)] == [128, 16, 1]
    with pytest.raises(ConfigError, match="640 does not divide into 3 processes"):
        accumulated(run.batch, 3)
