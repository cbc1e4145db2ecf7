"""The functions that layers are made of, in NumPy and float32: as PyTorch has them, without its 2 GB.

What is as large as the attention of 1,500 states is worked on in blocks that a core's cache holds: a pass
over memory costs more than the arithmetic.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

BLOCK = 1 << 16  # numbers worked on at once: 256 KB
LARGEST_EXPONENT = np.float32(80)  # exp of more would be infinite in float32, with a warning

# erfc(z) = t (A1 + t (A2 + ...)) exp(-z^2) with t = 1 / (1 + P z), z >= 0, to 1.5e-7: Abramowitz and Stegun,
# Handbook of Mathematical Functions, 7.1.26. It is what float32 can tell apart from exact.
P = np.float32(0.3275911)
A = tuple(map(np.float32, (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)))
ROOT_HALF = np.float32(0.5**0.5)


def layer_norm(x: Array, weight: Array, bias: Array, eps: float = 1e-5) -> Array:
    """Zero mean and unit variance over the last axis, then weight and bias."""
    centred: Array = x - x.mean(-1, keepdims=True)
    variance = np.square(centred).mean(-1, keepdims=True)
    centred /= np.sqrt(variance + np.float32(eps))
    centred *= weight
    centred += bias
    return centred


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    """Unit root mean square over the last axis, then weight."""
    mean_square = np.square(x).mean(-1, keepdims=True)
    normed: Array = x / np.sqrt(mean_square + np.float32(eps))
    normed *= weight
    return normed


def gelu(x: Array) -> Array:
    """x times the normal distribution's share below x, in place: the exact form, which Whisper has."""
    flat = x.reshape(-1)
    if not np.shares_memory(flat, x):
        raise ValueError("gelu works in place, on arrays without gaps.")
    for start in range(0, flat.size, BLOCK):
        part = flat[start : start + BLOCK]
        size = np.abs(part)
        t: Array = np.float32(1) / (np.float32(1) + size * (P * ROOT_HALF))
        beyond: Array = t * A[4]
        for coefficient in A[3::-1]:
            beyond += coefficient
            beyond *= t
        beyond *= np.exp(part * part * np.float32(-0.5))  # erfc(|x| / sqrt 2)
        beyond *= size
        beyond *= np.float32(0.5)
        np.maximum(part, 0, out=part)
        part -= beyond
    return x


def silu(x: Array) -> Array:
    """x times the logistic function of x."""
    below: Array = np.exp(np.minimum(-x, LARGEST_EXPONENT))
    below += 1
    found: Array = x / below
    return found


def softmax(x: Array) -> Array:
    """Shares over the last axis that add up to 1, in place."""
    x -= x.max(-1, keepdims=True)
    np.exp(x, out=x)
    x /= x.sum(-1, keepdims=True)
    return x


def log_softmax(x: Array) -> Array:
    """The logarithm of `softmax`."""
    shifted = x - x.max(-1, keepdims=True)
    found: Array = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return found
