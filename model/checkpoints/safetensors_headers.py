"""What a safetensors file says it holds, read from its header: names, types and shapes, never the weights.

And files written without the `safetensors` package, which the demo does not have. A file is 8 bytes (the
header's length, little-endian), the header as JSON, and the tensors' bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LENGTH_BYTES = 8
LARGEST_HEADER = 100_000_000  # bytes; the format's own limit, and read only after the file's size agrees
DTYPES = {
    "F64": ("float64", 8),
    "F32": ("float32", 4),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "I64": ("int64", 8),
    "I32": ("int32", 4),
    "I16": ("int16", 2),
    "I8": ("int8", 1),
    "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
    "F8_E4M3": ("float8_e4m3", 1),
    "F8_E5M2": ("float8_e5m2", 1),
}


class HeaderError(ValueError):
    """A safetensors file is not whole; the message is a sentence that names it."""


@dataclass(frozen=True)
class Tensor:
    """One tensor as the header describes it."""

    dtype: str  # torch's name, "float32"
    shape: tuple[int, ...]
    bytes: int

    @property
    def parameters(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name. Raises HeaderError where it is not a whole safetensors file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if size < LENGTH_BYTES or length < 2:
            raise HeaderError(f"{path.name} is not a safetensors file ({size:,} bytes); download it again.")
        if length > LARGEST_HEADER or LENGTH_BYTES + length > size:
            raise HeaderError(
                f"{path.name} is cut short or is not a safetensors file: it has {size:,} bytes and its "
                f"header alone claims {length:,}; download it again."
            )
        raw = file.read(length)
    try:
        header = json.loads(raw)
        found = {name: _tensor(name, entry) for name, entry in header.items() if name != "__metadata__"}
        end = max((entry["data_offsets"][1] for name, entry in header.items() if name in found), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise HeaderError(f"The header of {path.name} cannot be read; download it again.") from error
    whole = LENGTH_BYTES + length + end
    if size < whole:
        raise HeaderError(
            f"{path.name} is cut short: {size:,} of {whole:,} bytes are there; download it again."
        )
    return found


def write(path: Path, tensors: Mapping[str, NDArray[np.float32]]) -> None:
    """Write float32 tensors."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # transformers reads no file without it
    end = 0
    for name, value in tensors.items():
        begin, end = end, end + value.nbytes
        header[name] = {"dtype": "F32", "shape": value.shape, "data_offsets": (begin, end)}
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % LENGTH_BYTES)
    with path.open("wb") as file:
        file.write(len(raw).to_bytes(LENGTH_BYTES, "little") + raw)
        for value in tensors.values():
            file.write(np.ascontiguousarray(value, "<f4").data)


def _tensor(name: str, entry: dict[str, Any]) -> Tensor:
    begin, end = entry["data_offsets"]
    dtype, width = DTYPES[entry["dtype"]]
    shape = tuple(entry["shape"])
    if not all(isinstance(number, int) and number >= 0 for number in (begin, end, *shape)):
        raise ValueError(f"{name} has a size that is not a whole number")
    if end - begin != math.prod(shape) * width:
        raise ValueError(f"{name} does not fit its bytes")
    return Tensor(dtype, shape, end - begin)
