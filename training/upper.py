"""The last layers of an encoder, which are tuned: they go on from the states that those below them gave."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Upper(nn.Module):
    """Layers and LayerNorm of a Whisper encoder, shared with it, and named as there."""

    def __init__(self, encoder: nn.Module, count: int) -> None:
        """The last `count` layers of `encoder`."""
        super().__init__()
        layers = list(encoder.layers)
        first = len(layers) - count
        self.layers = nn.ModuleDict({str(number): layers[number] for number in range(first, len(layers))})
        self.layer_norm = encoder.layer_norm

    def forward(self, states: Tensor, kept: Tensor) -> Tensor:
        """The first `kept` [batch] of states [batch, states, d_model] to the encoder's own, in one window."""
        heard = torch.arange(states.shape[1], device=states.device) < kept[:, None]
        mask = None
        if not heard.all():  # what a row is padded with is not heard
            mask = torch.zeros(heard.shape, dtype=states.dtype, device=states.device)
            mask = mask.masked_fill(~heard, torch.finfo(states.dtype).min)[:, None, None]
        for layer in self.layers.values():
            states = layer(states, mask)
        found: Tensor = self.layer_norm(states)
        return found
