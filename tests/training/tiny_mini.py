"""The mini model in seconds: a random encoder, a random Llama, and speech that is not sound at all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from model.checkpoints import tokenizers
from training.ctc import token_ids
from training.feature_store import ROWS, STATES, shard_path

SENTENCES = ("can lah", "kopi one dollar", "no need lah", "one kopi can", "dollar need one", "no can no need")
STATES_A_TOKEN = 10
VOCABULARY, WIDTH = 512, 64
TOKENIZER = cache(lambda: tokenizers.small(VOCABULARY, tokenizers.CHAT_TEMPLATE))


def decoder(folder: Path) -> Path:
    """A Llama of 0.1 M random weights with a tokenizer of bytes."""
    tokenizer = TOKENIZER()
    ends = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<end_of_turn>")]
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, num_key_value_heads=2, tie_word_embeddings=True, pad_token_id=0, **sizes
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def states_of(text: str) -> torch.Tensor:
    """A pattern of its own for each token of a text, silence after each: [states, 64]."""
    patterns = torch.randn(VOCABULARY, WIDTH, generator=torch.Generator().manual_seed(7))
    said = [patterns[id_].expand(STATES_A_TOKEN, WIDTH) for id_ in token_ids(TOKENIZER(), text)]
    silence = patterns[TOKENIZER().pad_token_id].expand(5, WIDTH)
    states = torch.cat([silence, *(part for token in said for part in (token, silence))])
    return torch.nn.functional.pad(states, (0, 0, 0, -len(states) % 15))


def features(folder: Path, split: str, texts: Sequence[str], times: int = 1) -> None:
    """Features of texts that are said `times` times, each time a little otherwise."""
    noise = torch.Generator().manual_seed(len(split))
    rows: list[dict[str, Any]] = []
    parts: list[torch.Tensor] = []
    for number, text in enumerate(list(texts) * times):
        states = states_of(text)
        parts.append(states + 0.1 * torch.randn(states.shape, generator=noise))
        start = sum(map(len, parts[:-1]))
        words = {"instruction": "Please transcribe this speech.", "answer": text, "source": "patterns"}
        place = {"shard": 0, "start": start, "kept": len(states)}
        rows.append({"id": f"{split}-{number}", "task": "asr", "duration": 1.0, **words, **place})
    folder.mkdir(parents=True, exist_ok=True)
    save_file({STATES: torch.cat(parts).half()}, shard_path(folder, split, 0))
    pq.write_table(pa.Table.from_pylist(rows, ROWS), folder / f"{split}.parquet")


def settings(folder: Path, encoder: str | Path, decoder: Path, **changes: Any) -> dict[str, Any]:
    """A mini run in `folder` with few steps; `changes` replace keys in sections."""
    found: dict[str, Any] = {
        "report": str(folder / "mini.md"),
        "human": str(folder / "human"),
        "eval_rows": 4,
        "features": {"folder": str(folder / "features"), "workers": 1, "precision": "fp32"},
        "warm_up": {
            "run": str(folder / "warm"),
            "schedule": {"steps": 200, "warmup": 10},
            "batch": 8,
            "optimiser": {"peak_lr": 5e-3},
            "every": {"log": 1, "eval": 100, "save": 100, "keep": 9},
        },
        "listen": {
            "run": str(folder / "listen"),
            "model": {"encoder": str(encoder), "decoder": str(decoder), "stack": 5, "train_encoder": False},
            "data": {"train": str(folder / "corpus")},
            "optimiser": {"peak_lr": 1e-3},
            "schedule": {"steps": 4, "warmup": 1},
            "batch": {"size": 4, "per_device": 2},
            "compute": {"precision": "fp32"},
            "every": {"log": 1, "eval": 2, "save": 2, "keep": 9},
        },
    }
    for section, values in changes.items():
        found[section] |= values
    return found
