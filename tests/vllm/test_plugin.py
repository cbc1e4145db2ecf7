"""What the plugin promises beside right log-probs: caches, LoRA, quantised decoders, checks at start."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from vllm import SamplingParams
from vllm.exceptions import VLLMValidationError
from vllm.lora.request import LoRARequest
from vllm.model_executor.layers.attention import Attention

from model.checkpoints.inspect import inspect
from model.mini import WEIGHTS
from model.vllm_plugin import soft_cap, versions
from tests.vllm.parity import TOLERANCE, Ask, Reference, ask, engine, sound

RANK = 8


def test_the_wheel_holds_the_weights_that_are_the_projects(tmp_path: Path) -> None:
    """The image of vLLM installs it, and has no checkout to find them in."""
    root = WEIGHTS.parents[2]
    for name in ("LICENSE", "NOTICE", "README.md", "pyproject.toml"):
        shutil.copy(root / name, tmp_path)
    shutil.copytree(root / "model", tmp_path / "model", ignore=shutil.ignore_patterns("__pycache__"))
    build = ("pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir")
    subprocess.run([sys.executable, "-m", *build, tmp_path / "made", tmp_path], check=True)
    (wheel,) = (tmp_path / "made").glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    assert held >= {f"model/mini/weights/{path.name}" for path in WEIGHTS.iterdir()}


@pytest.mark.slow
def test_a_clip_asked_about_again_is_read_from_the_caches(checkpoint: Callable[..., Path]) -> None:
    folder = checkpoint("v2")
    with engine(folder, disable_log_stats=False) as llm:
        reference = Reference(folder)
        clip = sound(90, 1)

        def hits() -> dict[str, float]:
            wanted = ("vllm:prefix_cache_hits", "vllm:mm_cache_hits")
            return {metric.name: metric.value for metric in llm.get_metrics() if metric.name in wanted}

        # The clip stands after the question in this layout, so only the same question shares its prefix.
        for question, shared in (("One?", 0), ("One?", 256), ("Two?", 0)):
            before = hits()
            one = Ask(reference.prompt(1, question), (clip,))
            assert reference.difference(one, ask(llm, reference.processor, [one])[0]) <= TOLERANCE
            after = hits()
            found = after["vllm:prefix_cache_hits"] - before.get("vllm:prefix_cache_hits", 0)
            assert (found >= shared) if shared else (found == 0)
        assert hits()["vllm:mm_cache_hits"] == 2


@pytest.mark.slow
def test_lora_on_the_decoder_equals_merged_weights(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    folder = checkpoint("v2")
    torch.manual_seed(0)
    tensors: dict[str, Tensor] = {}
    reference = Reference(folder)
    one = Ask(reference.prompt(1), (sound(35, 3),))
    with torch.no_grad():
        for name, module in reference.model.text_decoder.named_modules():
            if name.endswith(("gate_proj", "up_proj", "down_proj")):
                narrow = torch.randn(RANK, module.in_features) * 0.1
                wide = torch.randn(module.out_features, RANK) * 0.1
                at = f"base_model.model.text_decoder.{name}"
                tensors |= {f"{at}.lora_A.weight": narrow, f"{at}.lora_B.weight": wide}
                module.weight += wide @ narrow * 2  # alpha / rank
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(
        json.dumps(
            {
                "peft_type": "LORA",
                "r": RANK,
                "lora_alpha": 2 * RANK,
                "target_modules": ["gate_proj", "up_proj", "down_proj"],
                "bias": "none",
            }
        )
    )
    with engine(folder, enable_lora=True, max_lora_rank=RANK) as llm:
        plain = ask(llm, reference.processor, [one])[0]
        adapted = ask(llm, reference.processor, [one], lora_request=LoRARequest("ours", 1, str(tmp_path)))[0]
    assert plain.log_probs != adapted.log_probs
    assert reference.difference(one, adapted) <= TOLERANCE


@pytest.mark.slow
def test_an_adapter_without_biases_and_with_the_other_index(
    checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    folder = checkpoint("v1", v1_index=2)
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    kept = {
        name: tensor
        for name, tensor in tensors.items()
        if not (name.startswith("speech_audio_adapter.") and name.endswith(".bias"))
    }
    assert len(kept) == len(tensors) - 3
    save_file(kept, tmp_path / "model.safetensors")
    reference = Reference(tmp_path)
    one = Ask(reference.prompt(1), (sound(3, 3),))
    with engine(tmp_path) as llm:
        assert reference.difference(one, ask(llm, reference.processor, [one])[0]) <= TOLERANCE


@pytest.mark.slow
def test_a_quantised_decoder_is_served_with_its_encoder_left_whole(
    checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """int8 weights and activations, as compressed-tensors writes them; vLLM takes these on CPUs and GPUs."""
    folder = checkpoint("v2")
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    reference = Reference(folder)
    quantised: dict[str, Tensor] = {}
    for name, weight in load_file(folder / "model.safetensors").items():
        if name.startswith("text_decoder.") and name.endswith("_proj.weight"):
            scale = weight.abs().amax(1, keepdim=True) / 127
            rounded = (weight / scale).round().clamp(-128, 127)
            quantised |= {name: rounded.to(torch.int8), f"{name}_scale": scale}
            with torch.no_grad():
                reference.model.get_parameter(name).copy_(rounded * scale)
        else:
            quantised[name] = weight
    save_file(quantised, tmp_path / "model.safetensors")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    numbers = {"num_bits": 8, "type": "int", "symmetric": True}
    config["quantization_config"] = {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "ignore": ["re:.*lm_head", "re:speech_.*"],
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": {**numbers, "strategy": "channel", "dynamic": False},
                "input_activations": {**numbers, "strategy": "token", "dynamic": True},
            }
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    report = inspect(tmp_path)
    assert (report.problems, report.quantised, report.dtype) == ([], "compressed-tensors", "float32")
    one = Ask(reference.prompt(1), (sound(35, 3),))
    with engine(tmp_path, dtype="bfloat16") as llm:
        methods = llm.apply_model(
            lambda model: (
                type(model.speech_encoder.layers[0].mlp.fc1.quant_method).__name__,
                type(model.text_decoder.model.layers[0].mlp.gate_up_proj.quant_method).__name__,
            )
        )[0]
        said = ask(llm, reference.processor, [one])[0]
    assert "Unquantized" in methods[0] and "CompressedTensors" in methods[1]
    rows = reference.log_probs(one, said.tokens)
    assert max(abs(value - float(rows[0, token])) for token, value in said.log_probs[0].items()) < 0.5


@pytest.mark.slow
def test_an_attention_back_end_that_leaves_the_cap_out_is_refused(checkpoint: Callable[..., Path]) -> None:
    with engine(checkpoint("v2")) as llm:

        def spoil(model: torch.nn.Module) -> str:
            decoder = model.text_decoder
            soft_cap.check(decoder, 50.0)
            layer = next(layer for layer in decoder.modules() if isinstance(layer, Attention))
            layer.impl.logits_soft_cap = 0
            try:
                soft_cap.check(decoder, 50.0)
            except RuntimeError as error:
                return str(error)
            return ""

        assert "FLASHINFER" in llm.apply_model(spoil)[0]


@pytest.mark.slow
def test_bad_clips_are_refused_and_the_next_is_answered(checkpoint: Callable[..., Path]) -> None:
    with engine(checkpoint("v1")) as llm:
        silence = torch.zeros(16_000).numpy()
        for text, clips, words in (
            ("<SpeechHere>", [sound(0.05, 1)], "at least 0.1 s"),
            ("<SpeechHere>", [sound(301, 1)], "takes at most 300 s"),
            ("<SpeechHere>", [silence * float("nan")], "not numbers"),
            ("<SpeechHere>", [silence[:0]], "empty"),
            ("no place", [silence], "0 <SpeechHere> and 1 clips"),
            ("<SpeechHere> <SpeechHere>", [silence], "2 <SpeechHere> and 1 clips"),
            ("<SpeechHere>" + "a" * 4_000, [silence], "at most 4,096"),
            ("<SpeechHere>" * 50, [silence] * 50, "than the 3 that"),
        ):
            with pytest.raises(VLLMValidationError, match=words):
                llm.generate({"prompt": text, "multi_modal_data": {"audio": clips}}, use_tqdm=False)
        said = llm.generate(
            {"prompt": "<SpeechHere>", "multi_modal_data": {"audio": silence}},
            SamplingParams(max_tokens=2),
            use_tqdm=False,
        )
        assert said[0].outputs[0].token_ids


def test_another_vllm_is_refused_in_words() -> None:
    versions.check("0.32.0")
    with pytest.raises(
        versions.UnsupportedVersion, match=r"vLLM 0\.31\.2 is installed.*Install vllm==0\.32\.0"
    ):
        versions.check("0.31.2")
