"""Rows of stage 2 whose audio is a frozen encoder's states: as examples, in batches, and in the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.geometry import SAMPLE_RATE, WINDOW_SAMPLES
from model.modeling import AudioLLMForConditionalGeneration
from training.ctc import SpokenWords, fits
from training.examples import Collator, Example
from training.feature_store import STATES, Features
from training.turns import Turns, UnfitRow
from training.upper import Upper
from training.voice import UNTOLD, Told


class StateExamples:
    """Examples whose `features` are states [1, kept, d_model] and whose prompts have as many places for them.

    Rows that cannot be used are in `left_out`, with reasons.
    """

    def __init__(
        self,
        features: Features,
        turns: Turns,
        speech_token: int,
        stack: int,
        repeat: Mapping[str, int] = MappingProxyType({}),
        more: Sequence[dict[str, Any]] = (),
    ) -> None:
        """`repeat`: how often a task's rows are there, where it is not once. `more`: rows beside them."""
        self._features, self._turns = features, turns
        self._speech_token, self._stack = speech_token, stack
        self.left_out: list[str] = []
        fitting = [row for row in map(self._cut, [*features.rows, *more]) if self._fit(row)]
        self.rows = [row for row in fitting for _ in range(repeat.get(row["task"], 1))]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        return self.of(self.rows[index])

    def of(self, row: dict[str, Any]) -> Example:
        """The example of a row."""
        ids, labels = self._encoded(row)
        states = self._features.states(row)[None].numpy()
        return Example(row["id"], ids, labels, states, ())

    def _cut(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row with no more states than serving hears."""
        heard = self._turns.places(round(row["duration"] * SAMPLE_RATE)) * self._stack
        return {**row, "kept": min(row["kept"], heard)}

    def _encoded(self, row: dict[str, Any]) -> tuple[list[int], list[int]]:
        """Ids and labels of a row, with as many places as it has states for."""
        ids, labels = self._turns.encode(row["instruction"], row["answer"], WINDOW_SAMPLES)
        cut = ids.count(self._speech_token) - row["kept"] // self._stack
        at = ids.index(self._speech_token)
        return ids[:at] + ids[at + cut :], labels[:at] + labels[at + cut :]

    def _fit(self, row: dict[str, Any]) -> bool:
        try:
            self._encoded(row)
        except UnfitRow as reason:
            self.left_out.append(f"{row['id']}: {reason}")
            return False
        return True


class StateCollator:
    """Pads a list of examples to one batch, with what CTC is to write where answers are transcripts."""

    def __init__(
        self,
        pad: int,
        stack: int,
        words: SpokenWords,
        answers: Mapping[str, str],
        told: Mapping[str, Told] = MappingProxyType({}),
        weights: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """By row: `answers`, the transcripts; what its voice has `told`; `weights` other than 1."""
        self._collate, self._stack = Collator(pad), stack
        self._words, self._answers, self._told, self._weights = words, answers, told, weights

    def __call__(self, batches: Sequence[list[Example]]) -> dict[str, Any]:
        """As `Collator`, with `states` [batch, states, d_model] in place of mel windows.

        `spoken`: targets for CTC; `told`: what the voices tell; `weights` [batch] of the rows.
        """
        (examples,) = batches
        longest = max(example.features.shape[1] for example in examples)
        batch = self._collate([padded(example, longest) for example in examples])
        batch[STATES] = batch.pop("input_features")
        batch["spoken"] = [self._target(example) for example in examples]
        batch["told"] = [self._told.get(example.id, UNTOLD) for example in examples]
        batch["weights"] = torch.tensor([self._weights.get(example.id, 1.0) for example in examples])
        return batch

    def _target(self, example: Example) -> list[int]:
        target = self._words.targets(self._answers.get(example.id, "")) or []
        return target if fits(target, example.features.shape[1] // self._stack) else []


def padded(example: Example, states: int) -> Example:
    """An example whose states are followed by zeros."""
    more = states - example.features.shape[1]
    return dataclasses.replace(example, features=np.pad(example.features, ((0, 0), (0, more), (0, 0))))


def embedded(
    model: AudioLLMForConditionalGeneration, ids: Tensor, states: Tensor, tuned_layers: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Prompts `ids` [batch, tokens] with speech in their places; `states` are those below `tuned_layers`.

    Returns embeddings [batch, tokens, hidden]; the speech embeddings of `states` [batch, audio tokens,
    hidden]; and how many of those each row has places for [batch].
    """
    words = model.get_input_embeddings()(ids)
    places = ids == model.config.speech_token_index
    counts = places.sum(1)
    if tuned_layers:
        kept = counts * model.config.speech_mlp_scale_factor
        states = Upper(model.speech_encoder, tuned_layers)(states, kept)
    speech = model.speech_audio_adapter(model.ln_speech(states)) * model.config.embedding_scale
    heard = speech[torch.arange(speech.shape[1], device=ids.device) < counts[:, None]]
    return words.masked_scatter(places.unsqueeze(-1), heard.to(words.dtype)), speech, counts
