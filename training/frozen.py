"""What a checkpoint belongs to beside its config: it holds neither the frozen weights nor the data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from training.errors import CheckpointMismatch

BASE = "base.json"
LOOKED_AT = 64  # values of each tensor: enough to tell two models apart, and 18 GB need not be read


def fingerprint(model: nn.Module) -> str:
    """A hash of the frozen parameters' names, shapes and first values, the same in bf16 and fp32."""
    digest = hashlib.sha256()
    for name, value in sorted(model.named_parameters()):
        if not value.requires_grad:
            seen = value.detach().flatten()[:LOOKED_AT].to("cpu", torch.bfloat16).float()
            digest.update(f"{name}{tuple(value.shape)}".encode() + seen.numpy().tobytes())
    return digest.hexdigest()[:16]


def write_base(checkpoint: Path, base: Mapping[str, str]) -> None:
    """Write what a checkpoint was trained over: sources of weights, `frozen`, `mixture`, `features`."""
    (checkpoint / BASE).write_text(json.dumps(base, indent=1) + "\n", "utf-8")


def check_base(checkpoint: Path, base: Mapping[str, str]) -> None:
    """Raise CheckpointMismatch unless a checkpoint was trained over the weights and data that are here."""
    try:
        held: dict[str, Any] = json.loads((checkpoint / BASE).read_text("utf-8"))
    except (OSError, ValueError):
        held = {}
    if held.get("frozen") != base["frozen"]:
        raise CheckpointMismatch(
            f"{checkpoint} was trained over other frozen weights ({_named(held)}) than those here "
            f"({_named(base)}). Give the model that the run was started with."
        )
    for what, changed in (("mixture", "weights, sources or seed"), ("features", "encoder, tail or clips")):
        if what in base and held.get(what) != base[what]:
            raise CheckpointMismatch(
                f"{checkpoint} was trained on another {what}: {changed} have changed since. "
                "Put them back, or start a new run in another folder."
            )


def _named(base: Mapping[str, str]) -> str:
    sources = [f"{key} {base[key]}" for key in ("checkpoint", "encoder", "decoder") if key in base]
    return ", ".join(sources) or "it does not say which"
