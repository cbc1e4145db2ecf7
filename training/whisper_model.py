"""A whole Whisper, encoder and decoder: from a folder, a hub id, or the demo's packaged Whisper base."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

from model.checkpoints.ctranslate2_file import whisper
from model.embedded import weights
from training.errors import ConfigError
from training.whisper_config import WhisperModelConfig, WhisperSizes

PACKAGED = "packaged:whisper-base"
TIMESTAMPS = 1_501  # 0.00 to 30.00 s in steps of 20 ms, after all other tokens
BASE = WhisperSizes(512, 6, 6, 8, 2_048, 80, vocab_size=51_865)


@dataclass(frozen=True)
class Whisper:
    """A model with what makes its inputs and reads its outputs."""

    model: WhisperForConditionalGeneration
    tokenizer: WhisperTokenizer
    extractor: WhisperFeatureExtractor

    def save(self, folder: Path) -> None:
        """Write a plain Whisper folder, as transformers reads it."""
        for part in (self.model, self.tokenizer, self.extractor):
            part.save_pretrained(folder)


def load(source: str, dropout: float = 0.0) -> Whisper:
    """A Whisper in fp32 from "packaged:whisper-base", a folder, or a hub id. Raises ConfigError."""
    if source == PACKAGED:
        return packaged(dropout=dropout)
    try:
        return Whisper(
            WhisperForConditionalGeneration.from_pretrained(source, dtype=torch.float32, dropout=dropout),
            WhisperTokenizer.from_pretrained(source),
            WhisperFeatureExtractor.from_pretrained(source),
        )
    except (OSError, ValueError) as error:
        raise _unloadable(source, error) from None


def on_meta(config: WhisperModelConfig) -> WhisperForConditionalGeneration:
    """The model of a run by its sizes alone, without a byte of weights. Raises ConfigError."""
    with torch.device("meta"):
        if sizes := config.sizes or (BASE if config.weights == PACKAGED else None):
            return WhisperForConditionalGeneration(_of_sizes(sizes))
        try:
            return WhisperForConditionalGeneration(WhisperConfig.from_pretrained(config.weights))
        except (OSError, ValueError) as error:
            raise _unloadable(config.weights, error) from None


def packaged(cache: Path | None = None, dropout: float = 0.0) -> Whisper:
    """Whisper base out of the packages of requirements/models.txt, its fp16 weights as fp32.

    `cache` is where its parts are joined; None: the demo's cache folder. Raises ConfigError.
    """
    try:
        folder = weights.whisper_folder(cache or weights.default_cache())
    except weights.WeightsError as error:
        raise ConfigError(f"model.weights: {error}") from None
    tokenizer = WhisperTokenizer.from_pretrained(folder, pad_token="<|endoftext|>")  # noqa: S106 - a token
    tokenizer.add_tokens(
        [AddedToken(f"<|{step * 0.02:.2f}|>", normalized=False) for step in range(TIMESTAMPS)]
    )
    start, end = tokenizer.convert_tokens_to_ids(["<|startoftranscript|>", "<|endoftext|>"])
    marks = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": start}
    model = WhisperForConditionalGeneration(_of_sizes(BASE, dropout=dropout, **marks))
    state = {
        f"model.{name}": torch.tensor(value).float() for name, value in whisper(folder / "model.bin").items()
    }
    state["proj_out.weight"] = state["model.decoder.embed_tokens.weight"]
    model.load_state_dict(state)
    said = json.loads((folder / "config.json").read_text("utf-8"))
    model.generation_config = _generation(tokenizer, marks, said)
    return Whisper(model, tokenizer, WhisperFeatureExtractor(feature_size=BASE.num_mel_bins))


def _of_sizes(sizes: WhisperSizes, **more: Any) -> WhisperConfig:
    return WhisperConfig(
        d_model=sizes.d_model,
        encoder_layers=sizes.encoder_layers,
        decoder_layers=sizes.decoder_layers,
        encoder_attention_heads=sizes.attention_heads,
        decoder_attention_heads=sizes.attention_heads,
        encoder_ffn_dim=sizes.ffn_dim,
        decoder_ffn_dim=sizes.ffn_dim,
        num_mel_bins=sizes.num_mel_bins,
        vocab_size=sizes.vocab_size,
        **more,
    )


def _unloadable(source: str, error: Exception) -> ConfigError:
    said = str(error).split("\n")[0].rstrip(".")
    return ConfigError(
        f"model.weights: {source} cannot be loaded as a Whisper ({said}). "
        f"Name a Whisper folder, a hub id that can be reached, or {PACKAGED}."
    )


def _generation(tokenizer: WhisperTokenizer, marks: dict[str, int], said: dict[str, Any]) -> GenerationConfig:
    """Whisper's table of languages, tasks and tokens that are never written, as its releases carry it."""
    languages = tokenizer.convert_ids_to_tokens(said["lang_ids"])
    tasks = ("transcribe", "translate")
    return GenerationConfig(
        **marks,
        max_length=448,
        is_multilingual=True,
        return_timestamps=False,
        lang_to_id=dict(zip(languages, said["lang_ids"], strict=True)),
        task_to_id={task: tokenizer.convert_tokens_to_ids(f"<|{task}|>") for task in tasks},
        no_timestamps_token_id=tokenizer.convert_tokens_to_ids("<|notimestamps|>"),
        prev_sot_token_id=tokenizer.convert_tokens_to_ids("<|startofprev|>"),
        suppress_tokens=said["suppress_ids"],
        begin_suppress_tokens=said["suppress_ids_begin"],
        alignment_heads=said["alignment_heads"],
    )
