"""Rates are of the time that training took, over all processes, and FLOP are those of the architecture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.modeling import AudioLLMForConditionalGeneration
from tests.training import tiny
from training.audiollm_config import LoraConfig
from training.devices import measured, peak_flops
from training.flops import flops_of
from training.lora import add_lora
from training.meters import Meter


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_rates_leave_evaluation_out_and_count_waiting() -> None:
    clock = Clock()
    meter = Meter(peak=1e12, clock=clock)
    for _ in range(2):
        meter.begin()
        clock.now += 1.0
        meter.data_came()
        meter.add(samples=4, tokens=600, flops=1e12, left_out=1)
        clock.now += 3.0
        meter.end()
        clock.now += 50.0  # an evaluation
        meter.end()
    rates = meter.read()
    assert rates == {
        "samples_per_s": 1.0,
        "tokens_per_s": 150.0,
        "tflops_per_device": 0.25,
        "data_wait": 0.25,
        "left_out": 2.0,
        "mfu": 0.25,
    }
    assert meter.read() == {}


def test_rates_add_up_over_processes() -> None:
    clock = Clock()
    meter = Meter(peak=None, processes=2, clock=clock)
    meter.begin()
    meter.add(samples=4, tokens=600, flops=1e12, left_out=0)
    clock.now += 2.0
    meter.end()
    rates = meter.read(lambda tally: tally * 2)
    assert rates["samples_per_s"] == 4.0 and rates["tflops_per_device"] == 0.5 and "mfu" not in rates


def test_flops_are_those_that_torch_counts(tmp_path: Path) -> None:
    model = AudioLLMForConditionalGeneration.from_pretrained(tiny.checkpoint(tmp_path))
    add_lora(model.text_decoder, LoraConfig())
    tokens, kept = 140, 12
    ids = torch.full((1, tokens), 65)
    ids[0, 5:105] = model.config.speech_token_index
    labels = torch.full((1, kept), 66)
    # Attention as products of matrices, the one form that is counted on a CPU.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(
            input_ids=ids,
            input_features=torch.randn(1, 80, 3_000),
            labels=labels,
            shift_labels=labels,
            logits_to_keep=torch.arange(tokens - kept, tokens),
        ).loss.backward()
    own = flops_of(model).of_batch(1, (tokens,), (kept,))
    assert own == pytest.approx(counter.get_total_flops(), rel=0.03)


def test_a_cpus_peak_is_measured_and_a_said_one_is_taken() -> None:
    assert peak_flops(torch.device("cpu"), torch.float32, said=2.5) == 2.5e12
    assert measured(torch.float32) > 1e9
