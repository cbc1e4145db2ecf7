"""What is trained and what is not, part by part."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from training.audiollm_config import OptimiserConfig
from training.lora import MARK

PARTS = ("encoder", "ln_speech", "adapter", "lora", "decoder")
_BY_PREFIX = {"speech_encoder": "encoder", "ln_speech": "ln_speech", "speech_audio_adapter": "adapter"}


def part_of(name: str) -> str:
    """The part that a parameter of the audio LLM belongs to."""
    return "lora" if MARK in name else _BY_PREFIX.get(name.split(".")[0], "decoder")


def counts(model: nn.Module) -> dict[str, dict[str, int]]:
    """Parameters by part and in all, apart in "trainable" and "frozen"."""
    found = {kind: dict.fromkeys(PARTS, 0) for kind in ("trainable", "frozen")}
    for name, parameter in model.named_parameters():
        kind = "trainable" if parameter.requires_grad else "frozen"
        found[kind][part_of(name)] += parameter.numel()
    return {
        kind: {part: count for part, count in parts.items() if count} | {"total": sum(parts.values())}
        for kind, parts in found.items()
    }


def trainable(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters that are trained, by name, whether or not layers are wrapped for checkpointing."""
    for name, value in model.named_parameters():
        if value.requires_grad:
            yield name.replace("_checkpoint_wrapped_module.", ""), value


def adamw(model: nn.Module, config: OptimiserConfig) -> torch.optim.AdamW:
    """Fused AdamW, a group for each part."""
    betas = (config.beta1, config.beta2)
    return torch.optim.AdamW(optimiser_groups(model, config), betas=betas, eps=config.eps, fused=True)


def optimiser_groups(model: nn.Module, config: OptimiserConfig) -> list[dict[str, object]]:
    """Parameter groups for AdamW: a part's own peak rate, and weight decay on matrices only."""
    own = {"encoder": config.encoder_lr, "adapter": config.adapter_lr, "lora": config.lora_lr}
    own["ln_speech"] = config.adapter_lr
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in trainable(model):
        groups.setdefault((part_of(name), parameter.dim() > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": config.peak_lr if (rate := own.get(part)) is None else rate,
            "weight_decay": config.weight_decay if decays else 0.0,
            "part": part,
        }
        for (part, decays), parameters in groups.items()
    ]
