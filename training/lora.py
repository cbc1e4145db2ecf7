"""LoRA on the decoder's MLPs (paper, section 3.5), on its attention too if a run wants it; by peft.

Whisper's layers have an `fc1` and the gated adapter has a `gate_proj`: peft sees neither, since it is given
the decoder sub-module only.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from peft import LoraConfig as PeftConfig
from peft import inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

from training.audiollm_config import LoraConfig
from training.errors import ConfigError

PLACES = re.compile(r"\.(?:mlp|self_attn)\.")
MARK = ".lora_"  # in the names of its parameters


def add_lora(decoder: nn.Module, config: LoraConfig) -> None:
    """Put low-rank updates beside projections of the decoder's layers, in place; all else of it is frozen.

    Raises ConfigError where a target is none of them.
    """
    held = {name.rsplit(".", 1)[-1] for name, _ in decoder.named_modules() if PLACES.search(name)}
    if missing := [target for target in config.targets if target not in held]:
        raise ConfigError(
            f"lora.targets names {', '.join(missing)}, and the decoder's layers hold "
            f"{', '.join(sorted(held))}. Correct it."
        )
    peft = PeftConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=rf".*{PLACES.pattern}({'|'.join(config.targets)})",
    )
    inject_adapter_in_model(peft, decoder)
    for name, parameter in decoder.named_parameters():
        parameter.requires_grad_(MARK in name)
        if MARK in name:
            parameter.data = parameter.data.float()  # bf16 would lose the small steps


def merge_lora(decoder: nn.Module) -> None:
    """Add the updates to the weights they stand beside and take them out, in place."""
    for name, module in list(decoder.named_modules()):
        if isinstance(module, LoraLayer):
            merged: Any = module
            with torch.no_grad():
                merged.merge(safe_merge=True)
            parent, _, child = name.rpartition(".")
            setattr(decoder.get_submodule(parent), child, merged.get_base_layer())
