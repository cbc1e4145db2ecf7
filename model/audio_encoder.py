"""The audio encoder: Whisper's own, of any size, from mel windows to states (paper, section 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

WINDOWS_AT_ONCE = 16  # encoded together: 16 windows of large-v3 hold about 2 GB of activations in bf16


class AudioEncoder(WhisperEncoder):
    """Whisper's encoder alone; its weights are named as in `WhisperModel.encoder`."""

    def hear(self, window: Tensor) -> Tensor:
        """A window [1, mel_bins, 2 states] of at most 3,000 frames to its states [1, states, d_model].

        As transformers' own, which takes whole windows only.
        """
        x = functional.gelu(self.conv1(window))
        x = functional.gelu(self.conv2(x)).transpose(1, 2)
        x = x + self.embed_positions.weight[: x.shape[1]]
        for layer in self.layers:
            x = layer(x, None)
        found: Tensor = self.layer_norm(x)
        return found

    def encode(self, windows: Tensor) -> Tensor:
        """Mel windows [windows, mel_bins, 3000] to states [windows, 1500, d_model], some at a time."""
        return torch.cat([self(part).last_hidden_state for part in windows.split(WINDOWS_AT_ONCE)])


def build(config: WhisperConfig) -> tuple[AudioEncoder, nn.LayerNorm]:
    """The encoder and `ln_speech`, the LayerNorm over its states."""
    return AudioEncoder(config), nn.LayerNorm(config.d_model)
