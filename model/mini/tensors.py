"""Named arrays, taken with their shapes checked, and the safetensors files that they come in.

The `safetensors` package would read the files too, but not bfloat16 into NumPy, which has no such type.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.checkpoints import safetensors_headers
from model.checkpoints.safetensors_headers import LENGTH_BYTES
from model.mini.functional import Array

READABLE = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}
CURE = "Take the model's folder anew."


class ModelError(RuntimeError):
    """A model's files are missing, damaged or do not fit together; the message says what to do."""


class Tensors:
    """A model's tensors by name; each can be taken once its shape is known."""

    def __init__(self, values: Mapping[str, NDArray[Any]], source: str, prefix: str = "") -> None:
        """`source` is named in errors; `prefix` is put before every name."""
        self._values, self._source, self._prefix = values, source, prefix

    def below(self, prefix: str) -> Tensors:
        """The tensors whose names go on after `prefix`."""
        return Tensors(self._values, self._source, self._prefix + prefix)

    def all(self) -> Iterator[tuple[str, Array]]:
        """Every tensor with its name, in float32, made as it is taken."""
        for whole in self._values:
            if whole.startswith(self._prefix):
                yield whole.removeprefix(self._prefix), self._values[whole].astype(np.float32, copy=False)

    def has(self, name: str) -> bool:
        """Whether there is a tensor of that name."""
        return self._prefix + name in self._values

    def take(self, name: str, *shape: int) -> Array:
        """A tensor in float32. Raises ModelError unless it is there in that shape."""
        whole = self._prefix + name
        try:
            value = self._values[whole]
        except KeyError:
            raise ModelError(f"{self._source} lacks the tensor {whole}. {CURE}") from None
        if value.shape != shape:
            raise ModelError(
                f"{self._source}: {whole} has the shape {list(value.shape)}, not {list(shape)}. {CURE}"
            )
        return value.astype(np.float32, copy=False)

    def weight(self, name: str, inside: int, outside: int) -> Array:
        """A linear layer's `name.weight` turned round, [inside, outside], for rows from the left."""
        return np.ascontiguousarray(self.take(f"{name}.weight", outside, inside).T)

    def linear(self, name: str, inside: int, outside: int) -> tuple[Array, Array]:
        """A linear layer: `weight` and `name.bias` [outside]."""
        return self.weight(name, inside, outside), self.take(f"{name}.bias", outside)

    def norm(self, name: str, width: int) -> tuple[Array, Array]:
        """A LayerNorm's weight and bias, both [width]."""
        return self.take(f"{name}.weight", width), self.take(f"{name}.bias", width)


def read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a file by name; bfloat16 as float32. Raises ModelError where it is not whole."""
    try:
        described = safetensors_headers.read(path)
        raw = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}. {CURE}") from error
    except safetensors_headers.HeaderError as error:
        raise ModelError(f"{path.parent}: {error}") from error
    begins = LENGTH_BYTES + int.from_bytes(raw[:LENGTH_BYTES], "little")
    header = json.loads(raw[LENGTH_BYTES:begins])
    found: dict[str, NDArray[Any]] = {}
    for name, tensor in described.items():
        if tensor.dtype not in READABLE:
            raise ModelError(
                f"{path}: {name} is {tensor.dtype}; one of {', '.join(READABLE)} is wanted. {CURE}"
            )
        start = begins + header[name]["data_offsets"][0]
        flat = np.frombuffer(raw, READABLE[tensor.dtype], tensor.parameters, start)
        if tensor.dtype == "bfloat16":  # the upper half of a float32
            flat = (flat.astype(np.uint32) << 16).view(np.float32)
        found[name] = flat.reshape(tensor.shape)
    return found
