"""Whisper's encoder in NumPy: from a mel window to states, 1,500 of a whole one (paper, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from model.geometry import ENCODER_STRIDE, WINDOW_STATES
from model.mini.functional import Array, gelu, layer_norm, softmax
from model.mini.tensors import Tensors
from model.mini.threads import Threads, shares

TAPS = 3  # frames that a convolution sees
SHARE = 250  # states for a thread at once
QUERIES_AT_ONCE = 125  # attention of so many states to 1,500 is 750 KB: it stays in a core's cache
Linear = tuple[Array, Array]  # weight [inside, outside], bias [outside]
Norm = tuple[Array, Array]


@dataclass(frozen=True)
class EncoderSizes:
    """A Whisper encoder's sizes; those of base."""

    width: int = 512
    layers: int = 6
    heads: int = 8
    feed_forward: int = 2_048
    mel_bins: int = 80

    @property
    def head(self) -> int:
        """Numbers in a head."""
        return self.width // self.heads


@dataclass(frozen=True)
class Layer:
    """One of the encoder's layers."""

    attention_norm: Norm
    qkv: Linear  # three layers side by side: [width, 3 width]
    out: Linear
    feed_forward_norm: Norm
    up: Linear
    down: Linear


class Encoder:
    """Whisper's encoder; its weights are named as in `WhisperModel.encoder`."""

    def __init__(self, sizes: EncoderSizes, tensors: Tensors, threads: Threads) -> None:
        """Take the weights. Raises ModelError where one is missing or of another shape."""
        self.sizes, self._threads = sizes, threads
        width = sizes.width
        self._conv1 = _convolution(tensors, "conv1", sizes.mel_bins, width)
        self._conv2 = _convolution(tensors, "conv2", width, width)
        self._positions = tensors.take("embed_positions.weight", WINDOW_STATES, width)
        self._layers = [_layer(tensors.below(f"layers.{number}."), sizes) for number in range(sizes.layers)]
        self._norm = tensors.norm("layer_norm", width)

    def encode(self, mel: Array) -> Array:
        """A mel window [mel_bins, 2 states] of at most 3,000 frames to states [states, width]."""
        x = np.ascontiguousarray(mel.T)
        states = len(x) // ENCODER_STRIDE
        x = gelu(_dense(_taps(x, len(x), 1), self._conv1))
        x = gelu(_dense(_taps(x, states, ENCODER_STRIDE), self._conv2))
        x += self._positions[:states]
        parts = shares(states, SHARE)
        # A thread that is ahead writes the next layer's while another still reads this one's.
        now, after = (np.empty((states, 3 * self.sizes.width), np.float32) for _ in range(2))
        self._threads.do(partial(self._hear, x, now, self._layers[0]), parts)
        for layer, following in zip(self._layers, [*self._layers[1:], None], strict=True):
            self._threads.do(partial(self._do, x, now, layer, after, following), parts)
            now, after = after, now
        return layer_norm(x, *self._norm)

    def _hear(self, x: Array, qkv: Array, layer: Layer, rows: slice) -> None:
        """Queries, keys and values of some states for a layer."""
        qkv[rows] = _dense(layer_norm(x[rows], *layer.attention_norm), layer.qkv)
        qkv[rows, : self.sizes.width] *= np.float32(self.sizes.head**-0.5)

    def _do(
        self, x: Array, qkv: Array, layer: Layer, after: Array, following: Layer | None, rows: slice
    ) -> None:
        """A layer for some states, and what the following layer begins with."""
        own = x[rows]
        own += _dense(self._attention(qkv, rows), layer.out)
        own += _dense(gelu(_dense(layer_norm(own, *layer.feed_forward_norm), layer.up)), layer.down)
        if following:
            self._hear(x, after, following, rows)

    def _attention(self, qkv: Array, rows: slice) -> Array:
        """What some states hear of all: from [states, 3 width] to [rows, width]."""
        width, head = self.sizes.width, self.sizes.head
        heard = np.empty((rows.stop - rows.start, width), np.float32)
        for start in range(0, width, head):
            q, k, v = (qkv[:, part + start : part + start + head] for part in (0, width, 2 * width))
            own = q[rows]
            for row in range(0, len(own), QUERIES_AT_ONCE):
                block = slice(row, row + QUERIES_AT_ONCE)
                heard[block, start : start + head] = softmax(own[block] @ k.T) @ v
        return heard


def _taps(x: Array, count: int, stride: int) -> Array:
    """What each of `count` places of a convolution sees, side by side: [frames, d] to [count, 3 d]."""
    padded = np.pad(x, ((1, 1), (0, 0)))
    return np.concatenate([padded[tap : tap + stride * count : stride] for tap in range(TAPS)], axis=1)


def _dense(x: Array, layer: Linear) -> Array:
    weight, bias = layer
    found = x @ weight
    found += bias
    return found


def _convolution(tensors: Tensors, name: str, inside: int, outside: int) -> Linear:
    """A convolution as a linear layer over what it sees: [3 inside, outside]."""
    kernel = tensors.take(f"{name}.weight", outside, inside, TAPS)
    weight = kernel.transpose(2, 1, 0).reshape(TAPS * inside, outside)
    return np.ascontiguousarray(weight), tensors.take(f"{name}.bias", outside)


def _layer(tensors: Tensors, sizes: EncoderSizes) -> Layer:
    width = sizes.width
    attention = tensors.below("self_attn.")
    q, v = (attention.linear(f"{name}_proj", width, width) for name in "qv")
    k = attention.weight("k_proj", width, width), np.zeros(width, np.float32)  # Whisper's keys have no bias
    qkv = (np.concatenate([part[side] for part in (q, k, v)], axis=-1) for side in (0, 1))
    weight, bias = qkv
    return Layer(
        tensors.norm("self_attn_layer_norm", width),
        (weight, bias),
        attention.linear("out_proj", width, width),
        tensors.norm("final_layer_norm", width),
        tensors.linear("fc1", width, sizes.feed_forward),
        tensors.linear("fc2", sizes.feed_forward, width),
    )
