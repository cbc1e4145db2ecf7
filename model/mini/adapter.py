"""The adapters of `model.adapter` in NumPy: states to speech embeddings (paper, section 3.2)."""

from __future__ import annotations

from typing import Protocol

from model.layouts import AdapterKind
from model.mini.functional import Array, silu
from model.mini.tensors import Tensors


class Adapter(Protocol):
    """Stacks neighbouring states and turns them into the decoder's embeddings."""

    def __call__(self, states: Array) -> Array:
        """States [states, width] to speech embeddings [states / stack, hidden]."""


class MlpAdapter:
    """MLP-100: stack d -> d -> 4 d -> hidden."""

    def __init__(self, width: int, stack: int, hidden: int, tensors: Tensors) -> None:
        """Take the weights. Raises ModelError where one is missing or of another shape."""
        self._stack = stack
        self._first = tensors.linear("mlp_adapter.0", stack * width, width)
        self._second = tensors.linear("speech_llm_proj.0", width, 4 * width)
        self._third = tensors.linear("speech_llm_proj.3", 4 * width, hidden)

    def __call__(self, states: Array) -> Array:
        """States [states, width] to speech embeddings [states / stack, hidden]."""
        (first, first_bias), (second, second_bias), (third, third_bias) = (
            self._first,
            self._second,
            self._third,
        )
        x = silu(stacked(states, self._stack) @ first + first_bias)
        x = silu(x @ second + second_bias)
        return x @ third + third_bias


class GatedAdapter:
    """MERaLiON-2's: stack d -> 5 d, gated 5 d -> 5 d, -> hidden."""

    def __init__(self, width: int, stack: int, hidden: int, tensors: Tensors) -> None:
        """Take the weights. Raises ModelError where one is missing or of another shape."""
        self._stack = stack
        inner = 5 * width
        self._first = tensors.linear("mlp_adapter.0", stack * width, inner)
        self._gate = tensors.linear("gate_proj", inner, inner)
        self._pool = tensors.linear("pool_proj", inner, inner)
        self._out = tensors.linear("out_proj", inner, hidden)

    def __call__(self, states: Array) -> Array:
        """States [states, width] to speech embeddings [states / stack, hidden]."""
        (first, first_bias), (gate, gate_bias) = self._first, self._gate
        (pool, pool_bias), (out, out_bias) = self._pool, self._out
        x = silu(stacked(states, self._stack) @ first + first_bias)
        x = silu(x @ gate + gate_bias) * (x @ pool + pool_bias)
        return x @ out + out_bias


KINDS: dict[AdapterKind, type[MlpAdapter | GatedAdapter]] = {"mlp": MlpAdapter, "gated": GatedAdapter}


def stacked(states: Array, stack: int) -> Array:
    """`stack` neighbouring states side by side: [states, d] to [states / stack, stack d]."""
    count, width = states.shape
    return states.reshape(count // stack, stack * width)
