"""Floating-point operations of a training step, counted from the architecture.

A product of a matrix of P weights with one vector is 2 P. Backward is as much again for the inputs, and as
much again for the weights where they are trained. Attention is counted whole, as in PaLM's MFU (Chowdhery et
al., 2022, appendix B). Norms, activations, padding and recomputation are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from model.geometry import WINDOW_FRAMES, WINDOW_STATES

FROZEN, TRAINED = 2, 3  # forward and inputs; and weights


@dataclass(frozen=True)
class Flops:
    """What a training step costs; `of_batch` for a whole batch."""

    window: float  # encoder and adapter, of one 30 s window
    token: float  # the decoder's products and LoRA's, of one token
    squared: float  # the decoder's attention, of one token with one other
    scored: float  # the output layer, of one token that is scored

    def of_batch(self, windows: int, tokens: tuple[int, ...], scored: tuple[int, ...]) -> float:
        """FLOP of a forward and a backward pass; `tokens` and `scored` row by row."""
        return (
            windows * self.window
            + sum(tokens) * self.token
            + sum(count**2 for count in tokens) * self.squared
            + sum(scored) * self.scored
        )


def flops_of(model: Any) -> Flops:
    """The cost of a step of an audio LLM with LoRA in it, on the meta device or not."""
    speech, text = model.config.speech_config, model.config.text_config
    encoder = _encoder_forward(model.speech_encoder, speech)
    trained = next(model.speech_encoder.parameters()).requires_grad
    adapter = 2 * _weights(model.speech_audio_adapter) * model.config.window_tokens
    lora = 2 * sum(p.numel() for n, p in model.text_decoder.named_parameters() if ".lora_" in n)
    products = 2 * sum(_weights(layer, frozen=True) for layer in model.text_decoder.model.layers)
    width = text.num_attention_heads * _head_width(text)
    return Flops(
        window=(TRAINED if trained else 1) * encoder + TRAINED * adapter,
        token=FROZEN * products + TRAINED * lora,
        squared=TRAINED * 4 * width * text.num_hidden_layers,
        scored=FROZEN * 2 * text.vocab_size * text.hidden_size,
    )


def _encoder_forward(encoder: nn.Module, config: Any) -> float:
    layers = 2 * WINDOW_STATES * _weights(encoder.layers)
    attention = config.encoder_layers * 4 * WINDOW_STATES**2 * config.d_model
    convolutions = 2 * (
        WINDOW_FRAMES * encoder.conv1.weight.numel() + WINDOW_STATES * encoder.conv2.weight.numel()
    )
    return float(layers + attention + convolutions)


def _weights(module: nn.Module, frozen: bool = False) -> int:
    """The elements of a module's matrices; `frozen`: of those that are not trained."""
    return sum(
        parameter.numel()
        for parameter in module.parameters()
        if parameter.dim() == 2 and not (frozen and parameter.requires_grad)
    )


def _head_width(text: Any) -> int:
    return int(getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads)
