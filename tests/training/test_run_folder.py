"""Which checkpoints count, and which config they belong to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training import tiny
from training import config as configs
from training import run_folder
from training.audiollm_config import MAY_CHANGE, AudioLLMRun
from training.errors import CheckpointMismatch, ConfigError


def saved(run: Path, step: int, whole: bool = True) -> Path:
    folder = run / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "trainable.safetensors").write_bytes(bytes(step))
    if whole:
        run_folder.mark_whole(folder)
    return folder


def test_a_half_written_checkpoint_is_left_out_in_words(tmp_path: Path) -> None:
    whole, cut = saved(tmp_path, 20), saved(tmp_path, 30)
    saved(tmp_path, 100, whole=False)
    (cut / "trainable.safetensors").write_bytes(b"less")
    found, said = run_folder.to_resume(tmp_path)
    assert found == whole
    assert said == [f"{tmp_path}/checkpoint-{step} is half-written and is left out." for step in (100, 30)]


def test_the_newest_are_kept_by_number_not_by_name(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        saved(tmp_path, step)
    (tmp_path / "checkpoint-best").mkdir()
    run_folder.keep_newest(tmp_path, 2)
    assert [path.name for path in run_folder.checkpoints(tmp_path)] == ["checkpoint-10", "checkpoint-100"]


def test_a_checkpoint_of_another_config_names_what_differs(tmp_path: Path) -> None:
    values = tiny.settings(tmp_path, tmp_path / "model", tmp_path / "corpus")
    before = configs.parse(AudioLLMRun, values, "before")
    checkpoint = saved(tmp_path, 3)
    configs.save(before, checkpoint / "config.yaml")
    run_folder.check_same(before, checkpoint, MAY_CHANGE)
    moved = {**values, "run": "elsewhere", "every": {"save": 1}, "batch": {"size": 4, "per_device": 2}}
    run_folder.check_same(configs.parse(AudioLLMRun, moved, "moved"), checkpoint, MAY_CHANGE)
    other = {**values, "lora": {"rank": 4}, "optimiser": {"peak_lr": 1e-4}, "spec_augment": None}
    with pytest.raises(CheckpointMismatch) as raised:
        run_folder.check_same(configs.parse(AudioLLMRun, other, "other"), checkpoint, MAY_CHANGE)
    for said in ("lora.rank was 8 and is 4", "optimiser.peak_lr was 0.001 and is 0.0001", "spec_augment"):
        assert said in str(raised.value)


def test_a_folder_with_a_run_in_it_is_not_written_over(tmp_path: Path) -> None:
    run_folder.check_empty(tmp_path / "new")
    saved(tmp_path, 5, whole=False)
    with pytest.raises(ConfigError, match=r"holds a run already \(checkpoint-5\).*--resume"):
        run_folder.check_empty(tmp_path)


def test_metrics_after_the_checkpoint_are_forgotten(tmp_path: Path) -> None:
    lines = [json.dumps({"step": step, "loss": 1.0}) for step in (1, 2, 3)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 2, "lo')
    run_folder.forget_after(tmp_path, 2)
    assert [line["step"] for line in run_folder.read_metrics(tmp_path)] == [1, 2]
