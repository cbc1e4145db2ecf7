"""Does it listen? The loss of held-out answers with their own audio, another's, and none; WER by greedy
decoding.

A low loss with the right audio alone may come from guessing; a high one with the wrong audio may come from
copying it boldly. So the word error rate on people's speech is what counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.asking import more_questions
from training.build_model import Built
from training.errors import DataError
from training.examples import Collator, Example
from training.feature_store import Features
from training.features import folder_of
from training.mini_config import MiniRun
from training.states import StateExamples, embedded, padded
from training.turns import UNSCORED, Turns

Audio = Literal["right", "shuffled", "none"]
AT_ONCE = 8  # rows in a batch
LONGEST = 96  # tokens of a transcript
SPLITS = {"voices": ("corpus", "dev"), "people": ("human", "test")}


@dataclass(frozen=True)
class Reading:
    """What is said in a clip, and what the model wrote."""

    source: str
    said: str
    written: str


@dataclass(frozen=True)
class Listener:
    """A model and the held-out rows that it is asked about, each with the states that serving hears."""

    built: Built
    examples: StateExamples
    rows: list[dict[str, Any]]
    stack: int
    tuned_layers: int

    @classmethod
    def of(cls, run: MiniRun, built: Built, name: str, count: int, task: str | None = None) -> Listener:
        """Rows of "voices" that training did not hear, or of "people"; at most `count`, evenly apart.

        Raises DataError where there are fewer than two.
        """
        which, split = SPLITS[name]
        turns = Turns(built.processor, run.listen.data.max_tokens)
        token, stack = built.model.config.speech_token_index, run.listen.model.stack
        features = Features(folder_of(run, which), split)
        more = []
        if which == "corpus" and task in run.ask:
            more = more_questions(features.rows, run.listen.data.train, split, {task: count}, run.listen.seed)
        examples = StateExamples(features, turns, token, stack, more=more)
        rows = [row for row in examples.rows if task in (None, row["task"])]
        if len(rows) < 2:
            raise DataError(f"{folder_of(run, which)} holds {len(rows)} rows to evaluate on; two are needed.")
        count = min(count, len(rows))
        chosen = [rows[place * len(rows) // count] for place in range(count)]
        return cls(built, examples, chosen, stack, run.tuned_layers)

    @property
    def tasks(self) -> set[str]:
        """Tasks that at least two of the split's rows ask for."""
        held = Counter(row["task"] for row in self.examples.rows)
        return {task for task, count in held.items() if count > 1}

    @torch.inference_mode()
    def losses(self, kinds: Sequence[Audio] = get_args(Audio)) -> dict[str, float]:
        """The mean loss of an answer's token, for each kind of audio."""
        return {kind: self._loss(kind) for kind in kinds}

    @torch.inference_mode()
    def read(self) -> list[Reading]:
        """The greedy answer to each row."""
        found: list[Reading] = []
        tokenizer = self.built.processor.tokenizer
        for at in range(0, len(self.rows), AT_ONCE):
            rows = self.rows[at : at + AT_ONCE]
            examples = [_prompt(self.examples.of(row)) for row in rows]
            for row, ids in zip(rows, self._greedy(examples), strict=True):
                written = str(tokenizer.decode(ids, skip_special_tokens=True)).strip()
                found.append(Reading(row["source"], row["answer"], written))
        return found

    def _greedy(self, examples: list[Example]) -> Tensor:
        """What the decoder writes after each prompt [batch, tokens]."""
        most = max(example.features.shape[1] for example in examples)
        examples = [padded(example, most) for example in examples]
        longest = max(len(example.ids) for example in examples)
        pad = self.built.processor.tokenizer.pad_token_id or 0
        ids = torch.tensor([[pad] * (longest - len(each.ids)) + each.ids for each in examples])
        mask = torch.tensor([[0] * (longest - len(each.ids)) + [1] * len(each.ids) for each in examples])
        model = self.built.model
        embeddings, _, _ = embedded(model, ids, _states(examples), self.tuned_layers)
        written: Tensor = model.text_decoder.generate(
            inputs_embeds=embeddings,
            attention_mask=mask,
            max_new_tokens=LONGEST,
            do_sample=False,
            eos_token_id=self.built.stops,
            pad_token_id=pad,
        )
        return written

    def _loss(self, kind: Audio) -> float:
        total, scored = 0.0, 0
        collate = Collator(self.built.processor.tokenizer.pad_token_id or 0)
        for examples in self._batches(kind):
            batch = collate(examples)
            batch.pop("note")
            targets, states = batch.pop("shift_labels"), batch.pop("input_features")
            batch.pop("labels")
            ids = batch.pop("input_ids")
            embeddings, _, _ = embedded(self.built.model, ids, states, self.tuned_layers)
            logits = self.built.model(inputs_embeds=embeddings, **batch).logits
            total += float(
                functional.cross_entropy(
                    logits.float().flatten(0, 1), targets.flatten(), ignore_index=UNSCORED, reduction="sum"
                )
            )
            scored += int((targets != UNSCORED).sum())
        return total / scored

    def _batches(self, kind: Audio) -> Iterator[list[Example]]:
        for at in range(0, len(self.rows), AT_ONCE):
            rows = self.rows[at : at + AT_ONCE]
            if kind == "shuffled":
                rows = [_with(row, self._other(at + place)) for place, row in enumerate(rows)]
            examples = [self.examples.of(row) for row in rows]
            if kind == "none":
                examples = [self._deaf(example) for example in examples]
            longest = max(example.features.shape[1] for example in examples)
            yield [padded(example, longest) for example in examples]

    def _other(self, place: int) -> dict[str, Any]:
        """The next row about another clip: of the same kind of speech."""
        following = self.rows[place + 1 :] + self.rows[:place]
        return next((row for row in following if _place(row) != _place(self.rows[place])), self.rows[place])

    def _deaf(self, example: Example) -> Example:
        """A row without places for audio."""
        token = self.built.model.config.speech_token_index
        kept = [place for place, id_ in enumerate(example.ids) if id_ != token]
        ids, labels = ([values[place] for place in kept] for values in (example.ids, example.labels))
        return Example(example.id, ids, labels, example.features[:, : self.stack], ())


def _with(mine: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A row with another row's states."""
    return mine | _place(other)


def _place(row: dict[str, Any]) -> dict[str, int]:
    """Where a row's states are."""
    return {name: row[name] for name in ("shard", "start", "kept")}


def _prompt(example: Example) -> Example:
    """A row without its answer."""
    first = next(place for place, label in enumerate(example.labels) if label != UNSCORED)
    return Example(example.id, example.ids[:first], [], example.features, ())


def _states(examples: list[Example]) -> Tensor:
    return torch.from_numpy(np.concatenate([example.features for example in examples]))
