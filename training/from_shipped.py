"""Go on from what ships: a folder of `training.ship` as the beginning of a run whose own run is not kept.

`MiniRun.shipped` names it. The warm-up begins with its adapter and the layers of the encoder that were tuned,
and stage 2 with its LoRA. The head that reads the adapter by CTC does not ship, so the warm-up makes it anew.

A run of longer strides, such as the paper's 15 from a 5, begins with the mean of what the adapter's first
layer makes of each of its parts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.mini.shipped import Shipped, read
from model.mini.tensors import ModelError
from training.errors import ConfigError
from training.mini_config import MiniRun
from training.ship import PACKAGED

ENCODER = "speech_encoder."
LORA = ".lora_"
FIRST = "speech_audio_adapter.mlp_adapter.0.weight"  # [width, stack d_model]


def shipped_tensors_of(run: MiniRun) -> dict[str, Tensor]:
    """The tensors that a run goes on from, by their names in the model, in float32; none where it does not.

    Raises ConfigError where the folder cannot be read, or holds a model of other parts or sizes.
    """
    if run.shipped is None:
        return {}
    try:
        shipped, tensors = read(run.shipped)
        shipped.check_packages()
    except ModelError as error:
        raise ConfigError(f"shipped: {error}") from error
    found = {_in_model(name): torch.from_numpy(value.copy()).float() for name, value in tensors.items()}
    _check(run, shipped, found)
    if FIRST not in found:
        raise ConfigError(f"shipped: {run.shipped} has no {FIRST}. Ship that model again.")
    times = run.listen.model.stack // shipped.stack
    found[FIRST] = found[FIRST].repeat(1, times) / times
    return found


def begin_with(module: nn.Module, tensors: dict[str, Tensor], lora: bool) -> None:
    """Put the adapter and tuned layers of `tensors`, or their LoRA, in place. Raises ConfigError."""
    chosen = {name: value for name, value in tensors.items() if (LORA in name) == lora}
    held = {name: value.shape for name, value in module.state_dict().items()}
    if wrong := [name for name, value in chosen.items() if held.get(name) != value.shape]:
        raise ConfigError(f"shipped: {wrong[0]} does not fit into this run's model. Ship that model again.")
    module.load_state_dict(chosen, strict=False)


def _in_model(name: str) -> str:
    """A shipped tensor's name with peft's own part in it."""
    return f"{name.removesuffix('.weight')}.default.weight" if LORA in name else name


def _check(run: MiniRun, shipped: Shipped, tensors: dict[str, Tensor]) -> None:
    model, lora = run.listen.model, run.listen.lora
    if model.stack % shipped.stack:
        raise ConfigError(
            f"listen.model.stack is {model.stack}, and what ships in {run.shipped} has {shipped.stack}. "
            "Make it the same, or a multiple of it."
        )
    layers = {name.split(".")[2] for name in tensors if name.startswith(f"{ENCODER}layers.")}
    for key, said, held in (
        ("listen.model.encoder", PACKAGED.get(str(model.encoder)), shipped.encoder.name),
        ("listen.model.decoder", PACKAGED.get(str(model.decoder)), shipped.decoder.name),
        ("listen.model.adapter", model.adapter, shipped.adapter),
        ("features.tail", run.features.tail if run.features.short else None, shipped.tail),
        ("listen.lora.rank", lora.rank, shipped.lora.rank),
        ("listen.lora.alpha", lora.alpha, shipped.lora.alpha),
        ("listen.lora.targets", sorted(lora.targets), sorted(shipped.lora.targets)),
        ("tuned_layers", run.tuned_layers, len(layers)),
    ):
        if said != held:
            raise ConfigError(
                f"{key} is {said}, and what ships in {run.shipped} has {held}. Make it the same."
            )
