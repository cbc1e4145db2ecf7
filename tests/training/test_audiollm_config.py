"""A run's settings: the paper's are marked, wrong ones are named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.speech import ROOT
from tests.training import tiny
from training import config as configs
from training.audiollm_config import AudioLLMRun
from training.errors import ConfigError

TEN_B = ROOT / "training/configs/audiollm_10b.yaml"
PAPERS = {
    "batch.size": 640,
    "schedule.steps": 200_000,
    "schedule.warmup": 100,
    "optimiser.peak_lr": 5e-5,
    "lora.rank": 8,
    "spec_augment.length": 20,
    "spec_augment.probability": 0.05,
    "model.stack": 15,
    "model.train_encoder": True,
}


def test_the_papers_run_marks_each_value_as_the_papers_or_ours() -> None:
    run = configs.load(AudioLLMRun, TEN_B)
    assert run.lora.targets == ("gate_proj", "up_proj", "down_proj")
    for line in TEN_B.read_text("utf-8").splitlines():
        inside_marked = line.startswith("      ") or line.endswith(":") or line in ("", "every:")
        if not inside_marked and not line.startswith(("#", "run:", "  log", "  eval: 2", "  save", "  keep")):
            assert re.search(r"# (paper|ours)", line), line


@pytest.mark.parametrize("key", PAPERS)
def test_what_the_paper_says_is_what_the_config_says(key: str) -> None:
    values = yaml.safe_load(TEN_B.read_text("utf-8"))
    for part in key.split("."):
        values = values[part]
    assert values == PAPERS[key]
    last = key.rsplit(".", 1)[-1]
    line = next(line for line in TEN_B.read_text("utf-8").splitlines() if line.strip().startswith(f"{last}:"))
    assert "# paper" in line


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lora": {"rnak": 8}}, r"lora\.rnak.*Did you mean lora\.rank"),
        ({"model": {"checkpoint": None}}, "name an encoder and a decoder"),
        ({"model": {"encoder": "a"}}, "leave those two out"),
        ({"model": {"stack": 7}}, "must divide"),
        ({"batch": {"per_device": 5}}, "per_device must be"),
        ({"schedule": {"warmup": 7}}, "warmup within"),
        ({"optimiser": {"clip": 0}}, "clip must be above 0"),
        ({"compute": {"precision": "fp16"}}, "Choose one of: bf16, fp32"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    values = tiny.settings(tmp_path, tmp_path, tmp_path, **changes)
    with pytest.raises(ConfigError, match=said):
        configs.parse(AudioLLMRun, values, "run.yaml")


@pytest.mark.parametrize("name", ["audiollm_10b", "audiollm_tiny"])
def test_each_config_of_ours_loads_and_is_saved_as_it_is(name: str, tmp_path: Path) -> None:
    run = configs.load(AudioLLMRun, ROOT / f"training/configs/{name}.yaml")
    configs.save(run, tmp_path / "saved.yaml")
    assert configs.load(AudioLLMRun, tmp_path / "saved.yaml") == run
