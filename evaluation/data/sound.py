"""The sound of a row as a whole file, in each of the forms in which the hub's data sets keep it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from evaluation.sound import wav

FULL_SCALE = 32_767  # of 16-bit sound


class NoSound(Exception):
    """Why a row has no sound, as the end of a sentence."""


def file_of(cell: Any, folder: Path) -> bytes:
    """The file in an audio cell, a pyarrow scalar: bytes, {bytes, path}, or {array, sampling_rate}.

    A path is read where it leads to a file beside the parquet file, or below. Raises NoSound.
    """
    if not cell.is_valid:
        raise NoSound("no sound")
    kind = cell.type
    if pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind):
        return _not_empty(cell.as_py())
    if not pyarrow.types.is_struct(kind):
        raise NoSound(f"a sound column of type {kind}, where bytes are wanted")
    names = {field.name for field in kind}
    if "bytes" in names and cell["bytes"].is_valid:
        return _not_empty(cell["bytes"].as_py())
    if {"array", "sampling_rate"} <= names and cell["array"].is_valid:
        return _as_wav(cell["array"], cell["sampling_rate"].as_py())
    if "path" in names and cell["path"].as_py():
        return _beside(cell["path"].as_py(), folder)
    raise NoSound("no sound")


def _not_empty(data: Any) -> bytes:
    if not isinstance(data, bytes) or not data:
        raise NoSound("no sound: its file is empty")
    return data


def _beside(name: str, folder: Path) -> bytes:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise NoSound(f"no sound: {name} is not beside the parquet file")
    return _not_empty(path.read_bytes())


def _as_wav(array: Any, rate: Any) -> bytes:
    """Samples between -1 and 1 as 16-bit WAV, one channel."""
    samples = array.values.to_numpy(zero_copy_only=False)
    if not isinstance(rate, int) or rate < 1:
        raise NoSound(f"a sampling rate of {rate}")
    if samples.dtype.kind != "f" or not samples.size:
        raise NoSound("samples that are not one channel of numbers between -1 and 1")
    if not np.isfinite(samples).all():
        raise NoSound("samples that are not numbers")
    return wav(np.rint(np.clip(samples, -1.0, 1.0) * FULL_SCALE).astype(np.int16), rate)
