"""Which parameters are trained: at 10B counted from the sizes alone, on the meta device."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.speech import ROOT
from tests.training import tiny
from training import config as configs
from training.audiollm_config import AudioLLMRun, LoraConfig
from training.build_model import on_meta
from training.errors import ConfigError
from training.flops import flops_of
from training.lora import MARK, add_lora
from training.parameters import counts, optimiser_groups, trainable
from training.train_audiollm import main

TEN_B = ROOT / "training/configs/audiollm_10b.yaml"

D, LAYERS, FFN, MEL = 1_280, 32, 5_120, 80  # Whisper-large-v2's encoder
HIDDEN, MLP, DEPTH, RANK = 3_584, 14_336, 42, 8  # Gemma 2 9B
ENCODER = (
    (D * MEL * 3 + D)
    + (D * D * 3 + D)
    + 1_500 * D
    + LAYERS * (4 * D * D + 3 * D + 2 * D * FFN + FFN + D + 4 * D)
    + 2 * D
)
ADAPTER = (15 * D * D + D) + (D * 4 * D + 4 * D) + (4 * D * HIDDEN + HIDDEN)
LORA = DEPTH * 3 * RANK * (HIDDEN + MLP)


@pytest.fixture(scope="module")
def ten_b() -> nn.Module:
    run = configs.load(AudioLLMRun, TEN_B)
    assert run.model.sizes
    return on_meta(run, run.model.sizes)


def test_the_papers_704_million_are_trained_and_nothing_else(ten_b: nn.Module) -> None:
    found = counts(ten_b)
    assert found["trainable"] == {
        "encoder": ENCODER,
        "ln_speech": 2 * D,
        "adapter": ADAPTER,
        "lora": LORA,
        "total": ENCODER + 2 * D + ADAPTER + LORA,
    }
    assert [found["trainable"][part] // 100_000 for part in ("encoder", "adapter", "lora")] == [
        6367,
        494,
        180,
    ]
    assert found["trainable"]["total"] // 1_000_000 == 704
    assert set(found["frozen"]) == {"decoder", "total"} and found["frozen"]["decoder"] > 9e9
    assert all(parameter.is_meta for parameter in ten_b.parameters())


def test_lora_is_in_the_decoders_mlps_only(ten_b: nn.Module) -> None:
    held = [name for name, _ in ten_b.named_parameters() if MARK in name]
    assert len(held) == DEPTH * 3 * 2
    assert all(name.startswith("text_decoder.model.layers.") and ".mlp." in name for name in held)


def test_a_sample_costs_13_tflop(ten_b: nn.Module) -> None:
    assert flops_of(ten_b).of_batch(1, (170,), (30,)) == pytest.approx(13e12, rel=0.05)


def test_the_dry_run_prints_one_line_without_weights(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--config", str(TEN_B), "--dry-run"])
    (line,) = capsys.readouterr().out.splitlines()
    said = json.loads(line)
    assert said["trainable"]["total"] == ENCODER + 2 * D + ADAPTER + LORA
    assert said["tokens_per_sample"]["audio"] == 100 and said["steps"] == 200_000
    assert said["samples"] == 128_000_000


def test_the_gated_adapters_own_gate_gets_no_lora(tmp_path: Path) -> None:
    run = configs.load(AudioLLMRun, TEN_B)
    assert run.model.sizes
    gated = dataclasses.replace(run, model=dataclasses.replace(run.model, layout="open", adapter="gated"))
    model = on_meta(gated, run.model.sizes)
    assert not [
        name for name, _ in model.named_parameters() if MARK in name and "adapter" in name.split(".")[0]
    ]
    assert any("gate_proj" in name for name, _ in model.speech_audio_adapter.named_parameters())


def test_a_frozen_encoder_is_frozen_whole(tmp_path: Path) -> None:
    run = configs.load(AudioLLMRun, TEN_B, ["model.train_encoder=false"])
    assert run.model.sizes
    assert "encoder" not in counts(on_meta(run, run.model.sizes))["trainable"]


def test_a_target_that_is_no_projection_is_named(tmp_path: Path) -> None:
    from model.modeling import AudioLLMForConditionalGeneration

    model = AudioLLMForConditionalGeneration.from_pretrained(tiny.checkpoint(tmp_path))
    with pytest.raises(ConfigError, match=r"fc1.*hold .*down_proj"):
        add_lora(model.text_decoder, LoraConfig(targets=("gate_proj", "fc1")))


def test_each_part_has_its_own_rate_and_only_matrices_decay(ten_b: nn.Module) -> None:
    run = configs.load(AudioLLMRun, TEN_B, ["optimiser.encoder_lr=5e-6"])
    groups = optimiser_groups(ten_b, run.optimiser)
    assert sum(len(group["params"]) for group in groups) == len(list(trainable(ten_b)))  # type: ignore[arg-type]
    rates = {group["part"]: group["lr"] for group in groups}
    assert rates == {"encoder": 5e-6, "ln_speech": 5e-5, "adapter": 5e-5, "lora": 5e-5}
    for group in groups:
        parameters: list[torch.Tensor] = group["params"]  # type: ignore[assignment]
        assert {parameter.dim() > 1 for parameter in parameters} == {group["weight_decay"] > 0}  # type: ignore[operator]
