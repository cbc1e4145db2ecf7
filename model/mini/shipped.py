"""What is shipped of a small audio LLM: its adapter and LoRA, and what they were trained over, in a folder.

config.json         `Shipped` below
model.safetensors   `ln_speech.*`, `speech_audio_adapter.*`, of each LoRA target
                    `text_decoder.model.layers.N.PART.TARGET.lora_A.weight` and `lora_B.weight`,
                    and `speech_encoder.*` of the encoder's layers that were tuned

The rest of encoder and decoder is not in it: they come from the packages that `requirements/models.txt`
names, and config.json has their hashes. `python -m training.ship` writes such a folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from model.embedded import weights
from model.embedded.intents import Task
from model.geometry import STACK, WINDOW_STATES, tokens_of
from model.layouts import AdapterKind, Turn
from model.long_audio.windows import LONGEST_WINDOW
from model.mini.functional import Array
from model.mini.no_repeat import NoRepeat
from model.mini.tensors import CURE, ModelError, Tensors, read_safetensors

CONFIG, WEIGHTS = "config.json", "model.safetensors"
ENCODERS = {"whisper-base": weights.WHISPER_MODEL}
DECODERS = {"smollm2-135m-instruct": weights.SMOLLM2}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Packaged(_Strict):
    """Packaged weights that a model was trained over."""

    name: str
    sha256: str


class Lora(_Strict):
    """The low-rank updates of the decoder's layers."""

    rank: int = Field(ge=1)
    alpha: float
    targets: tuple[Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], ...]


class Generation(_Strict):
    """How answers are written."""

    end_tokens: tuple[int, ...] = Field(min_length=1)
    no_repeat_ngram: int = Field(default=6, ge=0, le=64)
    """No so many tokens in a row twice in an answer; 0: no guard. What the prompt says may be said again."""
    may_repeat: tuple[int, ...] = ()
    """Tokens that the guard lets through: digits of a number said twice, and marks of who speaks."""
    most_tokens: int = Field(default=32, ge=1)
    """Longest answer about no sound at all,"""
    most_tokens_per_second: float = Field(default=8.0, ge=0)
    """and what each second of sound adds: people say 3 tokens a second, and fast ones 6."""
    window: float = Field(default=14.0, ge=5, le=LONGEST_WINDOW)
    """Longest stretch of speech written down at once, in s: a small decoder loses its thread in more."""
    context: int = Field(default=4_096, ge=512, le=8_192)
    """Longest prompt and answer together: 46 KB of memory a token."""

    @field_validator("no_repeat_ngram")
    @classmethod
    def _is_a_row(cls, size: int) -> int:
        if size == 1:
            raise ValueError("1 would let no token be written twice: take 0 for no guard, or 2 to 64")
        return size

    def guard(self) -> NoRepeat:
        """The guard of one answer."""
        return NoRepeat(self.no_repeat_ngram, free=self.may_repeat)

    def longest(self, seconds: float) -> int:
        """Most tokens of an answer about so much sound."""
        return self.most_tokens + int(self.most_tokens_per_second * seconds)


class Measured(_Strict):
    """What the model was measured on; all else it may get wrong, and it says that it cannot."""

    languages: tuple[str, ...] = ("en",)
    tasks: tuple[Task, ...] = (Task.TRANSCRIBE,)


class Shipped(_Strict):
    """What config.json says."""

    format: Literal[1] = 1
    title: str
    encoder: Packaged
    decoder: Packaged
    adapter: AdapterKind
    stack: int = Field(ge=1)
    """States of 20 ms in an audio token."""
    tail: int | None = Field(default=None, ge=0)
    """States that are heard after a clip's sound; None: all of its last window of 30 s."""
    lora: Lora
    turn: Turn
    """How clips are put to it, see `model.prompts`."""
    generation: Generation
    measured: Measured = Measured()

    @model_validator(mode="after")
    def _stacks_evenly(self) -> Self:
        if WINDOW_STATES % self.stack:
            raise ValueError(f"stack is {self.stack}; it must divide {WINDOW_STATES:,} states evenly")
        if self.tail is not None and STACK % self.stack:
            raise ValueError(f"stack is {self.stack}; where windows are cut it must divide {STACK} states")
        return self

    def tokens_of(self, samples: int) -> int:
        """How many audio tokens a clip of `samples` takes."""
        return tokens_of(samples, self.stack, self.tail)

    def check_packages(self) -> None:
        """Raise ModelError unless the packages here hold the weights that it was trained over."""
        for what, said, known in (("encoder", self.encoder, ENCODERS), ("decoder", self.decoder, DECODERS)):
            if said.name not in known:
                raise ModelError(
                    f"{self.title} wants the {what} '{said.name}'; {', '.join(known)} is packaged."
                )
            if said.sha256 != known[said.name].sha256:
                raise ModelError(
                    f"{self.title} was trained over another {said.name} (sha256 {said.sha256[:12]}...) than "
                    f"the packaged one ({known[said.name].sha256[:12]}...), so it would write nonsense. "
                    "Train it anew over the packaged weights, or take the packages that it was trained with."
                )


def packaged(name: str, known: dict[str, weights.Asset]) -> Packaged:
    """A packaged part by its name. Raises KeyError."""
    return Packaged(name=name, sha256=known[name].sha256)


def read(folder: Path) -> tuple[Shipped, dict[str, NDArray[Any]]]:
    """A shipped folder's config and tensors. Raises ModelError where something is missing or wrong."""
    path = folder / CONFIG
    try:
        shipped = Shipped.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}. {CURE}") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ModelError(f"{path}: {where}: {first['msg']}. {CURE}") from None
    return shipped, read_safetensors(folder / WEIGHTS)


def is_shipped(folder: Path) -> bool:
    """Whether a folder is one of these, and no whole checkpoint; what is wrong with it, `read` tells."""
    try:
        said = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(said, dict) and "format" in said and "model_type" not in said


class Merged(Mapping[str, Array]):
    """A decoder's weights with the low-rank updates added, each when it is asked for."""

    def __init__(self, decoder: Mapping[str, Array], lora: Lora, updates: Tensors) -> None:
        """`updates` are named as in model.safetensors."""
        self._decoder, self._lora, self._updates = decoder, lora, updates

    def __getitem__(self, name: str) -> Array:
        """A weight. Raises KeyError; ModelError where its update is missing or does not fit."""
        weight = self._decoder[name]
        layer = name.removesuffix(".weight")
        if layer.rsplit(".", 1)[-1] not in self._lora.targets:
            return weight
        outside, inside = weight.shape
        down = self._updates.take(f"{layer}.lora_A.weight", self._lora.rank, inside)
        up = self._updates.take(f"{layer}.lora_B.weight", outside, self._lora.rank)
        merged: Array = weight + np.float32(self._lora.alpha / self._lora.rank) * (up @ down)
        return merged

    def __iter__(self) -> Iterator[str]:
        return iter(self._decoder)

    def __len__(self) -> int:
        return len(self._decoder)
