"""The rows of a training run in their order, and those of an evaluation in theirs: map-style datasets.

    mixture = Mixture.load(Path("training/configs/mixture_mini.yaml"))
    rows = MixtureDataset(mixture, global_batch=640, steps=200_000)
    rows[0]  # audio: float32 (samples,) at 16 kHz; instruction, answer, task, source, duration, id, left_out

Take them in plain order, with `SequentialSampler`: the order is in the dataset (`training/data/order.py`).
A run that goes on at step N starts at row N * global_batch, at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from training.data.augment import augmented
from training.data.mixture.config import Mixture, Source
from training.data.mixture.groups import RowGroups, Store, contents_of
from training.data.order import Place, Schedule, Walk
from training.data.schema import ROW_GROUP_ROWS, SAMPLE_RATE

__all__ = ["Mixture", "MixtureDataset", "Rows", "Source"]

MB = 2**20


class MixtureDataset(Dataset):
    """`steps` global batches of a mixture, row after row. A source that runs out starts over in a new order.

    Raises DataError: a corpus that is missing, empty, or broken.
    """

    def __init__(self, mixture: Mixture, global_batch: int, steps: int) -> None:
        self.mixture = mixture
        self.global_batch = global_batch
        self.steps = steps
        contents = contents_of(mixture.sources)
        self.groups = [RowGroups(*pair) for pair in zip(mixture.sources, contents, strict=True)]
        self.shares = mixture.shares([int(groups.rows.sum()) for groups in self.groups])
        self.store = Store(self.groups, mixture.cache_mb * MB)
        self._schedule = Schedule(self.shares, global_batch, mixture.seed)
        window = mixture.shuffle_groups * ROW_GROUP_ROWS
        self._walks = [
            Walk(groups.rows, global_batch, window, (mixture.seed, number))
            for number, groups in enumerate(self.groups)
        ]

    def __len__(self) -> int:
        return self.global_batch * self.steps

    def place(self, index: int) -> tuple[int, Place]:
        """The source and the place in it that row `index` comes from."""
        if not 0 <= index < len(self):
            raise IndexError(f"There is no row {index}; there are {len(self)}.")
        draw = self._schedule.at(index)
        return draw.source, self._walks[draw.source].at(draw.stream, draw.number)

    def __getitem__(self, index: int) -> dict[str, Any]:
        source, place = self.place(index)
        row = self.store.take(source, place.group, place.row)
        if self.mixture.augment is not None:
            row["audio"] = augmented(
                row["audio"],
                row_id=row["id"],
                task=row["task"],
                epoch=place.epoch,
                config=self.mixture.augment,
            )
            row["duration"] = row["audio"].size / SAMPLE_RATE
        return row

    def describe(self) -> list[dict[str, Any]]:
        """What the run takes of each source: its share of the draws, and how often it hears each row."""
        return [
            {
                "source": source.title,
                "share": round(share, 4),
                "rows": walk.total,
                "row_groups": walk.rows.size,
                "draws": round(share * len(self)),
                "epochs": round(share * len(self) / walk.total, 3),
            }
            for source, share, walk in zip(self.mixture.sources, self.shares, self._walks, strict=True)
        ]


class Rows(Dataset):
    """The rows of one split in the order of its shards, unchanged: for evaluation. Raises DataError."""

    def __init__(
        self, corpus: Path, split: str = "dev", tasks: tuple[str, ...] = (), limit: int | None = None
    ) -> None:
        """`limit`: at most so many rows, evenly apart, so that they speak for the whole split."""
        source = Source(corpus, split, tasks)
        groups = RowGroups(source, *contents_of([source]))
        self.store = Store([groups], 256 * MB)
        self._walk_ends = groups.rows.cumsum()
        self.total = int(self._walk_ends[-1])
        self.size = min(limit or self.total, self.total)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.size:
            raise IndexError(f"There is no row {index}; there are {self.size}.")
        row = index * self.total // self.size
        group = int(self._walk_ends.searchsorted(row, side="right"))
        first = int(self._walk_ends[group - 1]) if group else 0
        return self.store.take(0, group, row - first)
