"""A Llama in NumPy (SmolLM2): RMSNorm, rotary positions, grouped queries, SwiGLU, tied output layer.

Its cache of keys and values belongs to an answer; the weights are shared by all. Long prompts are read some
rows at a time, so that their attention stays small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.mini.functional import Array, rms_norm, silu, softmax
from model.mini.tensors import Tensors

ROWS_AT_ONCE = 256  # of a prompt; their attention to 4,096 tokens in 9 heads is 38 MB


@dataclass(frozen=True)
class DecoderSizes:
    """A Llama's sizes; those of SmolLM2-135M."""

    vocabulary: int = 49_152
    width: int = 576
    layers: int = 30
    heads: int = 9
    kv_heads: int = 3
    head: int = 64
    feed_forward: int = 1_536
    rope_theta: float = 100_000.0
    eps: float = 1e-5
    context: int = 8_192  # tokens that it was trained to look back on


class Cache:
    """The keys and values of one answer's tokens."""

    def __init__(self, sizes: DecoderSizes, capacity: int) -> None:
        """Room for `capacity` tokens: 46 KB each in SmolLM2-135M."""
        shape = (sizes.layers, sizes.kv_heads, capacity, sizes.head)
        self.keys, self.values = np.empty(shape, np.float32), np.empty(shape, np.float32)
        self.length = 0


@dataclass(frozen=True)
class Layer:
    """One of the decoder's layers."""

    attention_norm: Array
    qkv: Array  # queries of all heads, then keys, then values: [width, (heads + 2 kv_heads) head]
    out: Array
    feed_forward_norm: Array
    gate_up: Array  # [width, 2 feed_forward]
    down: Array


class Decoder:
    """A Llama; its weights are named as in `LlamaForCausalLM`, the output layer being the embedding."""

    def __init__(self, sizes: DecoderSizes, tensors: Tensors) -> None:
        """Take the weights. Raises ModelError where one is missing or of another shape."""
        self.sizes = sizes
        # Turned round: the output layer is used for each token, a row of the embedding once.
        self._embedding = tensors.weight("model.embed_tokens", sizes.width, sizes.vocabulary)
        self._layers = [
            _layer(tensors.below(f"model.layers.{number}."), sizes) for number in range(sizes.layers)
        ]
        self._norm = tensors.take("model.norm.weight", sizes.width)
        turn = np.arange(0, sizes.head, 2, dtype=np.float32) / np.float32(sizes.head)
        self._frequencies = (1.0 / np.float32(sizes.rope_theta) ** turn).astype(np.float32)

    def embed(self, ids: list[int]) -> Array:
        """Token embeddings [tokens, width]."""
        return np.ascontiguousarray(self._embedding[:, ids].T)

    def forward(self, x: Array, cache: Cache) -> Array:
        """Embeddings [tokens, width] that follow what is cached, to states [tokens, width]; x is used up."""
        sizes = self.sizes
        rotation = self._rotation(cache.length, len(x))
        for number, layer in enumerate(self._layers):
            normed = rms_norm(x, layer.attention_norm, sizes.eps)
            x += self._attention(normed @ layer.qkv, rotation, number, cache) @ layer.out
            both = rms_norm(x, layer.feed_forward_norm, sizes.eps) @ layer.gate_up
            gate = silu(both[:, : sizes.feed_forward])
            gate *= both[:, sizes.feed_forward :]
            x += gate @ layer.down
        cache.length += len(x)
        return rms_norm(x, self._norm, sizes.eps)

    def logits(self, states: Array) -> Array:
        """States [..., width] to logits [..., vocabulary]."""
        return states @ self._embedding

    def _rotation(self, start: int, count: int) -> tuple[Array, Array]:
        """Cosines and sines [tokens, 1, head / 2] of the positions from `start`."""
        angles = np.outer(np.arange(start, start + count, dtype=np.float32), self._frequencies)
        return np.cos(angles)[:, None], np.sin(angles)[:, None]

    def _attention(self, qkv: Array, rotation: tuple[Array, Array], layer: int, cache: Cache) -> Array:
        """Tokens hear those before them: [tokens, (heads + 2 kv_heads) head] to [tokens, heads head]."""
        sizes, count, before = self.sizes, len(qkv), cache.length
        heads = qkv.reshape(count, -1, sizes.head)
        rotated = _rotated(heads[:, : sizes.heads + sizes.kv_heads], *rotation)
        upto = before + count
        cache.keys[layer, :, before:upto] = rotated[:, sizes.heads :].swapaxes(0, 1)
        cache.values[layer, :, before:upto] = heads[:, sizes.heads + sizes.kv_heads :].swapaxes(0, 1)
        keys, values = cache.keys[layer, :, :upto], cache.values[layer, :, :upto]
        # Neighbouring heads share keys and values: [kv_heads, group tokens, head].
        queries = rotated[:, : sizes.heads].swapaxes(0, 1).reshape(sizes.kv_heads, -1, sizes.head)
        scores = queries @ keys.swapaxes(1, 2)
        scores *= np.float32(sizes.head**-0.5)
        if count > 1:
            fresh = scores.reshape(sizes.kv_heads, -1, count, upto)[..., before:]
            fresh += np.triu(np.full((count, count), -np.inf, np.float32), 1)
        heard = softmax(scores) @ values
        return heard.reshape(sizes.heads, count, sizes.head).swapaxes(0, 1).reshape(count, -1)


def _rotated(heads: Array, cosine: Array, sine: Array) -> Array:
    """Turn the halves of each head against each other by its position's angles."""
    half = heads.shape[-1] // 2
    first, second = heads[..., :half], heads[..., half:]
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def _layer(tensors: Tensors, sizes: DecoderSizes) -> Layer:
    width, all_heads, kv = sizes.width, sizes.heads * sizes.head, sizes.kv_heads * sizes.head
    attention, mlp = tensors.below("self_attn."), tensors.below("mlp.")
    qkv = [
        attention.weight(f"{name}_proj", width, size)
        for name, size in zip("qkv", (all_heads, kv, kv), strict=True)
    ]
    gate_up = [mlp.weight(f"{name}_proj", width, sizes.feed_forward) for name in ("gate", "up")]
    return Layer(
        tensors.take("input_layernorm.weight", width),
        np.concatenate(qkv, axis=1),
        attention.weight("o_proj", all_heads, width),
        tensors.take("post_attention_layernorm.weight", width),
        np.concatenate(gate_up, axis=1),
        mlp.weight("down_proj", sizes.feed_forward, width),
    )
