"""A Llama in NumPy (SmolLM2): RMSNorm, rotary positions, grouped queries, SwiGLU, tied output layer.

Its cache of keys and values belongs to an answer; the weights are shared by all. Long prompts are read some
rows at a time, so that their attention stays small.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from model.mini.functional import Array, rms_norm, silu, softmax
from model.mini.tensors import Tensors
from model.mini.threads import Threads, shares

ROWS_AT_ONCE = 512  # of a prompt
SHARE = 128  # rows for a thread at once; their attention to 4,096 tokens in 9 heads is 19 MB


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


@dataclass
class Step:
    """Rows on their way through the layers."""

    x: Array  # [rows, width]
    cache: Cache
    rotation: tuple[Array, Array]
    queries: dict[int, Array] = field(default_factory=dict)  # [rows, heads, head], by the first row


class Decoder:
    """A Llama; its weights are named as in `LlamaForCausalLM`, the output layer being the embedding."""

    def __init__(self, sizes: DecoderSizes, tensors: Tensors, threads: Threads) -> None:
        """Take the weights. Raises ModelError where one is missing or of another shape."""
        self.sizes, self._threads = sizes, threads
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
        parts = shares(len(x), SHARE)
        step = Step(x, cache, self._rotation(cache.length, len(x)))
        self._threads.do(partial(self._hear, step, 0), parts)
        for number in range(len(self._layers)):
            self._threads.do(partial(self._do, step, number), parts)
        cache.length += len(x)
        return rms_norm(x, self._norm, self.sizes.eps)

    def logits(self, states: Array) -> Array:
        """States [..., width] to logits [..., vocabulary]."""
        return states @ self._embedding

    def _rotation(self, start: int, count: int) -> tuple[Array, Array]:
        """Cosines and sines [tokens, 1, head / 2] of the positions from `start`."""
        angles = np.outer(np.arange(start, start + count, dtype=np.float32), self._frequencies)
        return np.cos(angles)[:, None], np.sin(angles)[:, None]

    def _hear(self, step: Step, number: int, rows: slice) -> None:
        """Queries of some rows for a layer, and their keys and values into the cache."""
        sizes, layer, cache = self.sizes, self._layers[number], step.cache
        qkv = rms_norm(step.x[rows], layer.attention_norm, sizes.eps) @ layer.qkv
        heads = qkv.reshape(len(qkv), -1, sizes.head)
        turned = sizes.heads + sizes.kv_heads
        rotated = _rotated(heads[:, :turned], *(part[rows] for part in step.rotation))
        places = slice(cache.length + rows.start, cache.length + rows.stop)
        cache.keys[number, :, places] = rotated[:, sizes.heads :].swapaxes(0, 1)
        cache.values[number, :, places] = heads[:, turned:].swapaxes(0, 1)
        step.queries[rows.start] = rotated[:, : sizes.heads]

    def _do(self, step: Step, number: int, rows: slice) -> None:
        """A layer for some rows, and what the following layer begins with."""
        sizes, layer, x = self.sizes, self._layers[number], step.x[rows]
        x += self._attention(step, number, rows) @ layer.out
        both = rms_norm(x, layer.feed_forward_norm, sizes.eps) @ layer.gate_up
        gate = silu(both[:, : sizes.feed_forward])
        gate *= both[:, sizes.feed_forward :]
        x += gate @ layer.down
        if number + 1 < len(self._layers):
            self._hear(step, number + 1, rows)

    def _attention(self, step: Step, number: int, rows: slice) -> Array:
        """What some rows hear of those before them and of themselves: [rows, heads head]."""
        sizes, count, before = self.sizes, rows.stop - rows.start, step.cache.length + rows.start
        upto = before + count
        keys, values = step.cache.keys[number, :, :upto], step.cache.values[number, :, :upto]
        # Neighbouring heads share keys and values: [kv_heads, group rows, head].
        queries = step.queries[rows.start].swapaxes(0, 1).reshape(sizes.kv_heads, -1, sizes.head)
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
