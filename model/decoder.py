"""The text decoder: any causal LM of transformers, SEA-LION V3 (Gemma 2) in the paper (section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel


def build(config: PreTrainedConfig) -> PreTrainedModel:
    """The decoder, with random weights.

    A decoder that caps its attention logits (Gemma 2) gets eager attention: transformers' SDPA leaves the cap
    out without a word, which shifts log-probs.
    """
    capped = getattr(config, "attn_logit_softcapping", None) is not None
    attention = "eager" if capped else config._attn_implementation
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention)


def check_embedding_scale(embed: torch.nn.Module, weight: Tensor, expected: float) -> None:
    """Raise RuntimeError unless `embed` multiplies rows of `weight` by `expected`.

    Releases of transformers and vLLM have moved this factor in and out of the embedding; speech embeddings
    are scaled by hand to match, and were the factor elsewhere, answers would be wrong without an error.
    """
    row = weight[:1].float()
    found = embed(torch.zeros(1, dtype=torch.long, device=weight.device)).float()
    size = row.norm()
    if size > 0 and not torch.allclose(found / size, row / size * expected, rtol=1e-2, atol=1e-2):
        factor = float(found.norm() / size)
        raise RuntimeError(
            f"The decoder scales token embeddings by {factor:.3f} where {expected:.3f} was expected, so this "
            "version of transformers or vLLM does it elsewhere. Install the versions in requirements/."
        )
