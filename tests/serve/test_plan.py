"""What is chosen for machines that are not here, and when a model is refused before anything starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from model.serve import machine as machines
from model.serve.machine import GIB, Machine, gpus_in
from model.serve.options import Options
from model.serve.plan import Device, Model, Plan, plan
from model.serve.refused import Refused
from tests.serve.machines import H100, LAPTOP, OWN, RTX_8, SERVER, SMALL, T4, TEN_B, with_gpus


def chosen(machine: Machine, model: Model, build: Device = "cpu", **asked: object) -> Plan:
    return plan(machine, model, Options("model", **asked), build)


def refusal(machine: Machine, model: Model, build: Device = "cpu", **asked: object) -> str:
    with pytest.raises(Refused) as caught:
        chosen(machine, model, build, **asked)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    return sentence


def test_a_laptop_without_bfloat16_computes_in_float32() -> None:
    found = chosen(LAPTOP, OWN)
    assert (found.device, found.dtype, found.places) == ("cpu", "float32", 16)
    assert "no instructions for bfloat16" in refusal(LAPTOP, OWN, dtype="bfloat16")


def test_a_small_machine_gets_a_place_for_everybody_and_memory_is_left() -> None:
    found = chosen(SMALL, OWN)
    assert (found.dtype, found.context) == ("bfloat16", 4_096)
    assert found.kv_cache is not None
    assert found.kv_cache >= 16 * 4_096 * OWN.kv_bytes
    assert found.kv_cache < 3 * GIB
    assert chosen(SMALL, OWN, dtype="float32").kv_cache == pytest.approx(2 * found.kv_cache, rel=0.01)


def test_little_memory_makes_the_cache_smaller_then_the_conversation_shorter_then_refuses() -> None:
    large = replace(OWN, kv_bytes=2**20)  # 1 MiB a token: 16 full conversations would take 64 GiB
    small_cache = chosen(replace(SMALL, memory=10 * GIB), large)
    assert small_cache.context == 4_096
    assert small_cache.kv_cache is not None
    assert 4 * GIB < small_cache.kv_cache < 7 * GIB
    shorter = chosen(replace(SMALL, memory=6 * GIB), large)
    assert 2_048 <= shorter.context < 4_096
    assert any("all that fits in memory" in choice.why for choice in shorter.choices)
    sentence = refusal(replace(SMALL, memory=5 * GIB), large)
    assert "5.0 GiB are free" in sentence
    assert "2,048 tokens" in sentence


def test_what_is_planned_for_a_cpu_fits_its_memory() -> None:
    for free in range(4, 40):
        machine = replace(SERVER, memory=free * GIB)
        try:
            found = chosen(machine, TEN_B)
        except Refused:
            assert free < 24
            continue
        assert found.kv_cache is not None
        assert found.kv_cache + TEN_B.parameters * 2 + 2 * GIB < machine.memory


def test_the_10b_is_refused_on_a_small_machine_with_figures() -> None:
    sentence = refusal(SMALL, TEN_B, dtype="float32")
    assert "MERaLiON-2-10B needs about 42." in sentence
    assert "37.7 GiB weights" in sentence
    assert "22.0 GiB are free" in sentence
    assert "--dtype bfloat16" in sentence
    assert "--dtype" not in refusal(LAPTOP, TEN_B)


def test_the_10b_on_an_h100() -> None:
    found = chosen(with_gpus(H100), TEN_B, "gpu")
    assert (found.device, found.dtype, found.attention, found.places) == ("gpu", "bfloat16", "FLASHINFER", 16)
    assert (found.context, found.utilisation, found.kv_cache) == (8_192, 0.90, None)
    tokens = next(choice.value for choice in found.choices if choice.what == "KV cache")
    assert int(tokens.split()[0].replace(",", "")) > 16 * 8_192


def test_the_10b_on_8_gb_is_refused_and_told_what_would_do() -> None:
    sentence = refusal(with_gpus(RTX_8), TEN_B, "gpu")
    assert "21.5 GiB on each GPU in bfloat16" in sentence
    assert "a GPU of at least 23.9 GiB" in sentence
    sixteen = replace(RTX_8, memory=16 * GIB, free=16 * GIB)
    assert "Try --quantization fp8 or --quantization bitsandbytes." in refusal(
        with_gpus(sixteen), TEN_B, "gpu"
    )
    assert chosen(with_gpus(sixteen), TEN_B, "gpu", quantization="fp8").quantization == "fp8"


def test_two_gpus_share_a_model_that_is_too_large_for_one() -> None:
    pair = with_gpus(*[replace(RTX_8, memory=16 * GIB, free=16 * GIB)] * 2)
    assert "--tensor-parallel-size 2" in refusal(pair, TEN_B, "gpu")
    assert chosen(pair, TEN_B, "gpu", tensor_parallel=2).tensor_parallel == 2
    assert "there are 2" in refusal(pair, TEN_B, "gpu", tensor_parallel=4)


def test_a_gpu_that_others_use_gives_what_is_free() -> None:
    shared = replace(H100, free=40 * GIB)
    found = chosen(with_gpus(shared), TEN_B, "gpu")
    assert found.utilisation == pytest.approx(0.49)
    assert "can be used" in refusal(with_gpus(replace(H100, free=4 * GIB)), TEN_B, "gpu")


def test_an_old_gpu_computes_gemma_in_float32_and_others_in_float16() -> None:
    assert chosen(with_gpus(T4), OWN, "gpu").dtype == "float16"
    assert chosen(with_gpus(T4), replace(OWN, soft_cap=True), "gpu").dtype == "float32"
    assert "7.5" in refusal(with_gpus(T4), OWN, "gpu", dtype="bfloat16")
    assert "overflows in float16" in refusal(with_gpus(H100), TEN_B, "gpu", dtype="float16")


def test_which_vllm_is_installed_decides_and_a_missing_gpu_is_said() -> None:
    assert chosen(with_gpus(H100), OWN, "cpu").device == "cpu"
    assert "no NVIDIA GPU can be seen" in refusal(SERVER, OWN, "gpu")


def test_parts_of_a_cpu_get_threads_of_their_own() -> None:
    assert chosen(SMALL, OWN).threads is None
    assert chosen(SMALL, OWN, tensor_parallel=2).threads == "0|1"
    assert chosen(LAPTOP, OWN, tensor_parallel=2).threads == "0,1,2,3|4,5,6,7"
    assert "needs a CPU for each part" in refusal(SMALL, OWN, tensor_parallel=3)


def test_a_context_that_the_decoder_cannot_hold_is_refused() -> None:
    assert chosen(SMALL, OWN, context=1_024).context == 1_024
    assert "8,192" in refusal(SMALL, OWN, context=10_000)


def test_the_clips_of_a_prompt_fit_its_context() -> None:
    assert chosen(SMALL, OWN).clips == 8
    assert chosen(SMALL, OWN, context=512).clips == 5


def test_the_cards_that_may_be_used_are_read_from_nvidia_smi() -> None:
    table = (
        "0, GPU-aa, NVIDIA H100 80GB HBM3, 81559, 81000, 9.0\n"
        "1, GPU-bb, NVIDIA L4, 23034, 22000, 8.9\n"
        "2, GPU-cc, Broken, [N/A], [N/A], [N/A]\n"
    )
    assert [gpu.name for gpu in gpus_in(table, None)] == ["NVIDIA H100 80GB HBM3", "NVIDIA L4"]
    assert [gpu.capability for gpu in gpus_in(table, "1")] == [8.9]
    assert [gpu.capability for gpu in gpus_in(table, "GPU-bb,0")] == [8.9, 9.0]
    assert gpus_in(table, "") == ()


def test_files_that_were_read_do_not_count_as_memory_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in (
        ("memory.max", "3000000\n"),
        ("memory.current", "2500000\n"),
        ("memory.stat", "anon 900000\ninactive_file 1500000\nactive_file 100000\n"),
    ):
        (tmp_path / name).write_text(content)
    cgroup = (str(tmp_path), "memory.max", "memory.current", "inactive_file")
    monkeypatch.setattr(machines, "_CGROUPS", (cgroup,))
    assert machines.look().memory == 2_000_000
    (tmp_path / "memory.stat").unlink()
    assert machines.look().memory == 500_000
    (tmp_path / "memory.max").write_text("max\n")
    assert machines.look().memory > 2_000_000
