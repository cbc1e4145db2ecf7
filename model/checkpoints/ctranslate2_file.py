"""Read the weights in a CTranslate2 model.bin, and put Whisper's back under transformers' names.

The format (CTranslate2's `ModelSpec._serialize`, version 6), little-endian: u32 version, string
specification, u32 revision, u32 count of variables; each a string name, u8 rank, u32 a side, u8 type, u32
bytes, and the bytes. A string is u16 length, then so many bytes, the last of them 0.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

VERSION = 6
DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
Array = NDArray[Any]

# CTranslate2's names to WhisperModel's; what is fused there is split by `FUSED`.
NAMES = (
    (r"position_encodings/encodings", "embed_positions.weight"),
    (r"embeddings/", "embed_tokens."),
    (r"layer_(\d+)/self_attention/layer_norm/", r"layers.\1.self_attn_layer_norm."),
    (r"layer_(\d+)/self_attention/linear_0/", r"layers.\1.self_attn.qkv."),
    (r"layer_(\d+)/self_attention/linear_1/", r"layers.\1.self_attn.out_proj."),
    (r"layer_(\d+)/attention/layer_norm/", r"layers.\1.encoder_attn_layer_norm."),
    (r"layer_(\d+)/attention/linear_0/", r"layers.\1.encoder_attn.q_proj."),
    (r"layer_(\d+)/attention/linear_1/", r"layers.\1.encoder_attn.kv."),
    (r"layer_(\d+)/attention/linear_2/", r"layers.\1.encoder_attn.out_proj."),
    (r"layer_(\d+)/ffn/layer_norm/", r"layers.\1.final_layer_norm."),
    (r"layer_(\d+)/ffn/linear_0/", r"layers.\1.fc1."),
    (r"layer_(\d+)/ffn/linear_1/", r"layers.\1.fc2."),
    (r"gamma$", "weight"),
    (r"beta$", "bias"),
    (r"/", "."),
)
FUSED = re.compile(r"\.(qkv|kv)\.")


def whisper(path: Path, part: str = "") -> dict[str, Array]:
    """The tensors in a Whisper model.bin, named as in `WhisperModel`: "encoder." and "decoder." ones.

    The output layer is the decoder's token embedding. With `part`, "encoder" or "decoder", only that is read.
    Raises ValueError where the file is of another kind.
    """
    found: dict[str, Array] = {}
    for name, value in variables(path, part):
        if not value.ndim:
            continue  # settings such as num_heads
        for pattern, replacement in NAMES:
            name = re.sub(pattern, replacement, name)
        if fused := FUSED.search(name):
            parts = fused[1]
            # Whisper's keys have no bias, so theirs is zero in the file.
            for part, piece in zip(parts, np.split(value, len(parts)), strict=True):
                if (part, name[-4:]) != ("k", "bias"):
                    found[name.replace(fused[0], f".{part}_proj.")] = piece
        else:
            found[name] = value
    return found


def whisper_encoder(path: Path) -> dict[str, Array]:
    """The encoder's tensors in a Whisper model.bin, named as in `WhisperModel.encoder`.

    Raises ValueError where the file is of another kind.
    """
    return {name.removeprefix("encoder."): value for name, value in whisper(path, "encoder").items()}


def variables(path: Path, prefix: str = "") -> Iterator[tuple[str, Array]]:
    """The variables of a model.bin whose names begin so. Raises ValueError where it is of another kind."""
    with path.open("rb") as file:
        (version,) = _numbers(file, "<I")
        if version != VERSION:
            raise ValueError(f"{path} is not a CTranslate2 file of version {VERSION}. Choose another file.")
        _string(file)
        _, count = _numbers(file, "<II")
        for _ in range(count):
            name = _string(file)
            (rank,) = _numbers(file, "<B")
            shape = _numbers(file, f"<{rank}I")
            dtype, size = _numbers(file, "<BI")
            if not name.startswith(prefix):
                file.seek(size, os.SEEK_CUR)
                continue
            raw = file.read(size)
            if dtype not in DTYPES or len(raw) != size:
                raise ValueError(f"{path} is cut short or quantised in a way that is not known.")
            yield name, np.frombuffer(raw, DTYPES[dtype]).reshape(shape)


def _numbers(file: BinaryIO, layout: str) -> tuple[int, ...]:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _string(file: BinaryIO) -> str:
    (length,) = _numbers(file, "<H")
    return file.read(length)[:-1].decode("utf-8")
