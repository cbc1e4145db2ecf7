"""Write checkpoint folders as they are published: config.json, safetensors, tokenizer, preprocessor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, PreTrainedConfig, PreTrainedTokenizerBase, WhisperFeatureExtractor

from model.checkpoints.inspect import CONFIG, INDEX, PREPROCESSOR, SINGLE
from model.geometry import WINDOW_SECONDS

EMBEDDING, HEAD = "text_decoder.model.embed_tokens.weight", "text_decoder.lm_head.weight"


def parsed(config: dict[str, Any]) -> PreTrainedConfig:
    """A config.json as its registered class reads it."""
    values = {name: value for name, value in config.items() if name != "model_type"}
    return CONFIG_MAPPING[config["model_type"]](**values)


def published(
    model: nn.Module, dtype: torch.dtype, v1_index: int = 3, lm_head: bool = False
) -> dict[str, Tensor]:
    """The tensors of a model under the published names.

    `v1_index` (2 or 3) is where the last layer of v1's adapter stands; a tied output layer is only written
    when `lm_head` asks for it.
    """
    state = {name: value.detach().to(dtype).contiguous() for name, value in model.state_dict().items()}
    if model.config.text_config.tie_word_embeddings:
        state.pop(HEAD, None)
        if lm_head:
            state[HEAD] = state[EMBEDDING].clone()
    return {
        name.replace("speech_llm_proj.3.", f"speech_llm_proj.{v1_index}."): t for name, t in state.items()
    }


def write(
    folder: Path,
    config: dict[str, Any],
    tensors: dict[str, Tensor],
    tokenizer: PreTrainedTokenizerBase,
    stops: list[int],
    shards: int = 1,
    processor: str | None = None,
) -> None:
    """Write a whole checkpoint.

    `stops` are the tokens that end an answer; `processor` is the class that preprocessor_config.json names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder, tensors, shards)
    write_json(folder / CONFIG, config)
    ends = {"bos_token_id": tokenizer.bos_token_id, "pad_token_id": tokenizer.pad_token_id}
    write_json(folder / "generation_config.json", {**ends, "eos_token_id": stops})
    mel = config["speech_config"]["num_mel_bins"]
    WhisperFeatureExtractor(feature_size=mel, chunk_length=WINDOW_SECONDS).save_pretrained(folder)
    if processor:
        path = folder / PREPROCESSOR
        write_json(path, {**json.loads(path.read_text("utf-8")), "processor_class": processor})
    tokenizer.save_pretrained(folder)


def write_weights(folder: Path, tensors: dict[str, Tensor], shards: int = 1) -> None:
    """Write tensors as model.safetensors, or as `shards` files of about the same size and their index."""
    for old in (*folder.glob("model*.safetensors"), folder / INDEX):
        old.unlink(missing_ok=True)
    if shards == 1:
        _save(tensors, folder / SINGLE)
        return
    weight_map: dict[str, str] = {}
    for number, names in enumerate(_cut(tensors, shards), 1):
        shard = f"model-{number:05}-of-{shards:05}.safetensors"
        _save({name: tensors[name] for name in names}, folder / shard)
        weight_map |= dict.fromkeys(names, shard)
    size = sum(tensor.nbytes for tensor in tensors.values())
    write_json(folder / INDEX, {"metadata": {"total_size": size}, "weight_map": weight_map})


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file for people to read."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors writes for the owner alone, and a server may run as somebody else


def _cut(tensors: dict[str, Tensor], shards: int) -> Iterator[list[str]]:
    """Names in order, in `shards` groups of about the same bytes, none empty."""
    names = list(tensors)
    if not 1 <= shards <= len(names):
        raise ValueError(
            f"{len(names)} tensors cannot be cut into {shards} files. Ask for 1 to {len(names)} shards."
        )
    left = sum(tensor.nbytes for tensor in tensors.values())
    for remaining in range(shards, 0, -1):
        group = [names.pop(0)]
        size = tensors[group[0]].nbytes
        while len(names) >= remaining and (remaining == 1 or size < left / remaining):
            group.append(names.pop(0))
            size += tensors[group[-1]].nbytes
        left -= size
        yield group
