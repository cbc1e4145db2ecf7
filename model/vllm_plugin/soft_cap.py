"""Gemma 2 caps its attention logits; a back end that leaves the cap out answers wrongly without an error."""

from __future__ import annotations

from torch import nn
from vllm.model_executor.layers.attention import Attention

# Back ends that were read to apply the cap in this version of vLLM, on every path they take.
HONOURING = frozenset({"CPU_ATTN", "FLASHINFER", "FLASH_ATTN", "TRITON_ATTN", "FLEX_ATTENTION"})


def check(decoder: nn.Module, cap: float | None) -> None:
    """Raise RuntimeError unless every attention layer of `decoder` applies `cap` (None: there is none)."""
    if not cap:
        return
    for name, layer in decoder.named_modules():
        if not isinstance(layer, Attention):
            continue
        backend = layer.attn_backend.get_name()
        applied = getattr(layer.impl, "logits_soft_cap", None)
        if backend not in HONOURING or applied is None or abs(applied - cap) > 1e-6:
            raise RuntimeError(
                f"The attention back end {backend} does not cap logits at {cap:g}, as this decoder needs "
                f"({name}). Start with --attention-backend FLASHINFER on a GPU; on a CPU the default does."
            )
