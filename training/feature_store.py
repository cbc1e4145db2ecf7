"""Where a frozen encoder's states lie on disk, and rows that carry them in place of audio.

FOLDER/features.json           which encoder, and how much was kept
FOLDER/SPLIT-00000.safetensors states [kept, d_model] of the clips that a corpus' shard holds first
FOLDER/SPLIT.parquet           the rows: their words, and where their states are
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.utils.data import Dataset

from training.errors import DataError

WORDS = ("id", "task", "source", "instruction", "answer", "duration")
ROWS = pa.schema(
    [pa.field(name, pa.float64() if name == "duration" else pa.string()) for name in WORDS]
    + [pa.field(name, pa.int64()) for name in ("shard", "start", "kept")]
)
STATES = "states"


class Features(Dataset[dict[str, Any]]):
    """Rows with `states` (fp32 [kept, d_model], a multiple of 15) in place of audio.

    Raises DataError where the folder does not hold the split, or a file of it is broken.
    """

    def __init__(self, folder: Path, split: str) -> None:
        path = folder / f"{split}.parquet"
        try:
            self.rows: list[dict[str, Any]] = pq.read_table(path, schema=ROWS).to_pylist()
        except (OSError, pa.ArrowInvalid):
            raise _broken(path) from None
        self._folder, self._split = folder, split
        self._slices: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.rows[index]
        return {**{name: row[name] for name in WORDS}, STATES: self.states(row)}

    def states(self, row: dict[str, Any]) -> Tensor:
        """The states [kept, d_model] that a row is about; one with `parts` is about several clips."""
        parts = row.get("parts") or [(row["shard"], row["start"], row["kept"])]
        return torch.cat([self._states(*part) for part in parts])[: row["kept"]]

    def _states(self, number: int, start: int, kept: int) -> Tensor:
        if number not in self._slices:
            path = shard_path(self._folder, self._split, number)
            try:
                self._slices[number] = safe_open(path, "pt").get_slice(STATES)
            except (OSError, SafetensorError):
                raise _broken(path) from None
        part: Tensor = self._slices[number][start : start + kept]
        return part.float()


def shard_path(folder: Path, split: str, number: int) -> Path:
    """Where the states of a corpus' shard lie."""
    return folder / f"{split}-{number:05}.safetensors"


def _broken(path: Path) -> DataError:
    return DataError(f"{path} is missing or broken. Run `python -m training.features` again; it mends that.")
