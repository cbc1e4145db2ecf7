"""Read the encoder, the decoder or a whole checkpoint that a run starts from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    WhisperConfig,
    WhisperFeatureExtractor,
)

from model.audio_encoder import AudioEncoder
from model.checkpoints.convert import WHISPER_BASE, smollm2
from model.checkpoints.ctranslate2_file import whisper_encoder
from model.checkpoints.inspect import CheckpointError
from model.embedded import weights
from model.modeling import AudioLLMForConditionalGeneration
from model.processing import AudioLLMProcessor
from training.errors import ConfigError

T = TypeVar("T")

IN_WHISPER = {r"^model\.encoder\.": ""}  # a whole Whisper's names to its encoder's


class _OfAWhisper(AudioEncoder):
    """Reads a whole Whisper without a warning that it has a decoder too."""

    _keys_to_ignore_on_load_unexpected = (r"^model\.decoder\.", r"^proj_out\.")


@dataclass(frozen=True)
class Encoder:
    """An audio encoder and the feature extractor that it was trained with."""

    model: AudioEncoder
    extractor: WhisperFeatureExtractor


@dataclass(frozen=True)
class Decoder:
    """A text decoder and its tokenizer."""

    model: PreTrainedModel
    tokenizer: Any

    def stops(self, tokenizer: Any) -> list[int]:
        """The tokens that end an answer: the tokenizer's own and the decoder's end of turn."""
        said = getattr(self.model.generation_config, "eos_token_id", None)
        ends = [tokenizer.eos_token_id, *(said if isinstance(said, list) else [said])]
        turn = tokenizer.get_vocab().get("<end_of_turn>")
        return sorted({end for end in [*ends, turn] if end is not None})


def load_encoder(name: str) -> Encoder:
    """The encoder of "packaged:whisper-base", a Whisper folder or a hub id. Raises ConfigError."""
    if name == "packaged:whisper-base":
        return _loaded("model.encoder", name, _packaged_whisper)
    return _loaded("model.encoder", name, lambda: _whisper(name))


def load_decoder(name: str) -> Decoder:
    """The decoder "packaged:smollm2", a causal LM's folder or a hub id. Raises ConfigError."""
    if name == "packaged:smollm2":
        return _loaded("model.decoder", name, lambda: Decoder(*smollm2()))
    return _loaded("model.decoder", name, lambda: _causal_lm(name))


def load_checkpoint(
    name: str,
) -> tuple[AudioLLMForConditionalGeneration, AudioLLMProcessor, dict[str, Any], list[int]]:
    """A model in a published layout, its processor, config.json and the tokens that end an answer.

    Raises ConfigError where the folder cannot be read, with what is wrong in it.
    """

    def read() -> tuple[AudioLLMForConditionalGeneration, AudioLLMProcessor, dict[str, Any], list[int]]:
        model = AudioLLMForConditionalGeneration.from_pretrained(name, dtype="auto")
        content = json.loads((Path(name) / "config.json").read_text("utf-8"))
        ends = model.generation_config.eos_token_id
        stops = ends if isinstance(ends, list) else [ends]
        return model, AudioLLMProcessor.from_pretrained(name), content, stops

    return _loaded("model.checkpoint", name, read)


def adapter_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of an adapter's file. Raises ConfigError where it cannot be read."""
    return _loaded("model.adapter_weights", str(path), lambda: load_file(path))


def _packaged_whisper() -> Encoder:
    path = weights.assemble(weights.WHISPER_MODEL, weights.default_cache() / "whisper-base")
    encoder = AudioEncoder(WhisperConfig(**WHISPER_BASE))
    encoder.load_state_dict(
        {key: torch.tensor(value).float() for key, value in whisper_encoder(path).items()}
    )
    return Encoder(encoder, WhisperFeatureExtractor(feature_size=WHISPER_BASE["num_mel_bins"]))


def _whisper(name: str) -> Encoder:
    encoder, report = _OfAWhisper.from_pretrained(
        name, key_mapping=IN_WHISPER, dtype=torch.float32, output_loading_info=True
    )
    if missing := sorted(report["missing_keys"]):
        raise ConfigError(
            f"model.encoder: {name} lacks {missing[0]} of a Whisper encoder. Name a whole Whisper."
        )
    return Encoder(encoder, WhisperFeatureExtractor.from_pretrained(name))


def _causal_lm(name: str) -> Decoder:
    config = AutoConfig.from_pretrained(name)
    # transformers' SDPA leaves Gemma 2's cap on attention logits out without a word.
    capped = getattr(config, "attn_logit_softcapping", None) is not None
    model = AutoModelForCausalLM.from_pretrained(
        name, dtype="auto", attn_implementation="eager" if capped else None
    )
    return Decoder(model, AutoTokenizer.from_pretrained(name))


def _loaded(key: str, name: str, read: Callable[[], T]) -> T:
    """What `read` finds; an error of the file system or a library as a sentence about `key`."""
    try:
        return read()
    except (OSError, ValueError, SafetensorError, CheckpointError, weights.WeightsError) as error:
        said = " ".join(str(error).split())
        here = "" if Path(name).exists() else "no such folder is here, and elsewhere "
        raise ConfigError(
            f"{key}: {name} cannot be loaded: {here}{said} Correct {key}, or make that folder first."
        ) from error
