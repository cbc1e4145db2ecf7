"""Rows of a corpus as the model's input, one by one in data workers, and batches of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from model.geometry import HOP, WINDOW_FRAMES, WINDOW_SAMPLES, ClipError
from model.processing import checked_clip, mel_windows
from training.audiollm_config import SpecAugmentConfig
from training.errors import DataError
from training.spec_augment import masked
from training.turns import UNSCORED, Turns, UnfitRow

MOST_UNFIT = 64  # rows in a line that may be unfit before the corpus is taken to be another model's
PAD_TO = 8  # tokens: matrix products are fastest in multiples of it


class Rows(Protocol):
    """A map-style data set of rows: audio (samples,) float32 at 16 kHz, instruction, answer, id."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Example:
    """One row, ready: `features` [windows, mel_bins, 3000]; `left_out` says which rows it stands in for.

    `window_states`: how many encoder states of each window are heard; empty where it is all of them.
    """

    id: str
    ids: list[int]
    labels: list[int]
    features: NDArray[np.float32]
    left_out: tuple[str, ...]
    window_states: tuple[int, ...] = ()


@dataclass(frozen=True)
class BatchNote:
    """What is known of a batch beside its tensors, row by row."""

    ids: tuple[str, ...]
    tokens: tuple[int, ...]  # audio and text, without padding
    scored: tuple[int, ...]  # answer and end of turn
    windows: int
    left_out: tuple[str, ...]


class Examples(Dataset[Example]):
    """Makes examples of rows; an unfit one is named in `left_out`, and the next fit row stands in for it."""

    def __init__(
        self,
        rows: Rows,
        turns: Turns,
        extractor: Any,
        augment: SpecAugmentConfig | None = None,
        seed: int = 0,
        first: int = 0,
    ) -> None:
        """`first` is the row that example 0 is made of: where a resumed run goes on."""
        self._rows, self._turns, self._extractor = rows, turns, extractor
        self._augment, self._seed, self._first = augment, seed, first

    def __len__(self) -> int:
        return len(self._rows) - self._first

    def __getitem__(self, index: int) -> Example:
        """Example `index`. Raises DataError where many rows in a line are unfit."""
        left_out: list[str] = []
        place, count = self._first + index, len(self._rows)
        for step in range(min(MOST_UNFIT, count)):
            row = self._rows[(place + step) % count]
            left_out.extend(row.get("left_out", ()))  # rows that cannot be read, which this one replaces
            try:
                return self._example(row, place, tuple(left_out))
            except (UnfitRow, ClipError) as reason:
                left_out.append(f"{row['id']}: {reason}")
        raise DataError(
            f"{len(left_out)} rows in a line cannot be used, such as {left_out[0]}. "
            "Look at the corpus, or raise data.max_tokens."
        )

    def _example(self, row: Mapping[str, Any], place: int, left_out: tuple[str, ...]) -> Example:
        clip = checked_clip(row["audio"], 1)
        ids, labels = self._turns.encode(row["instruction"], row["answer"], clip.size)
        features = mel_windows(self._extractor, clip)
        if self._augment:
            rng = np.random.default_rng([self._seed, place])
            lengths = [min(clip.size - at, WINDOW_SAMPLES) for at in range(0, clip.size, WINDOW_SAMPLES)]
            frames = [min(-(-length // HOP), WINDOW_FRAMES) for length in lengths]
            features = np.stack(
                [masked(mel, count, self._augment, rng) for mel, count in zip(features, frames, strict=True)]
            )
        states = self._turns.window_states(clip.size)
        return Example(str(row["id"]), ids, labels, features, left_out, states)


class Collator:
    """Pads examples on the right to one batch.

    Only the positions from the first scored token on are turned into logits: with 100 audio tokens before
    every answer that is a fifth of them, and a vocabulary of 256,000 makes each dear.
    """

    def __init__(self, pad: int) -> None:
        self._pad = pad

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        """A batch: the model's arguments, and `note`, a BatchNote.

        `shift_labels` [batch, kept] is what is to be predicted at each position of `logits_to_keep` [kept].
        """
        longest = max(len(example.ids) for example in examples)
        width = -(-longest // PAD_TO) * PAD_TO
        labels = _padded([example.labels for example in examples], width, UNSCORED)
        scored = (labels != UNSCORED).any(0).nonzero().flatten()
        kept = torch.arange(int(scored[0]) - 1, int(scored[-1]))
        targets = labels[:, kept + 1]
        states = [count for example in examples for count in example.window_states]
        cut = {"window_states": torch.tensor(states)} if states else {}
        return cut | {
            "input_ids": _padded([example.ids for example in examples], width, self._pad),
            "attention_mask": _padded([[1] * len(example.ids) for example in examples], width, 0),
            "input_features": torch.from_numpy(np.concatenate([example.features for example in examples])),
            "labels": targets,
            "shift_labels": targets,
            "logits_to_keep": kept,
            "note": note_of(examples),
        }


def note_of(examples: Sequence[Example]) -> BatchNote:
    """What is to be known of a batch of `examples`."""
    return BatchNote(
        ids=tuple(example.id for example in examples),
        tokens=tuple(len(example.ids) for example in examples),
        scored=tuple(sum(label != UNSCORED for label in example.labels) for example in examples),
        windows=sum(len(example.features) for example in examples),
        left_out=tuple(said for example in examples for said in example.left_out),
    )


def _padded(rows: Sequence[Sequence[int]], width: int, value: int) -> Tensor:
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])
