"""Stage 1 in seconds: people's clips as a corpus, and a small random Whisper with the real tokenizer."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import soundfile
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from tests.speech import human_clips
from training.data.schema import row, write_shard
from training.whisper_model import Whisper, packaged

WHISPER_BASE = cache(packaged)


def corpus(folder: Path, count: int = 5, answers: dict[int, str] | None = None) -> Path:
    """LibriVox clips with their transcripts, or with other `answers`; the same for train and dev."""
    rows = []
    for number, (path, words) in enumerate(human_clips()[:count]):
        pcm, _ = soundfile.read(path, dtype="int16")
        answer = (answers or {}).get(number, words.capitalize() + ".")
        asked = {"instruction": "Please transcribe this speech.", "task": "asr", "source": "librivox"}
        rows.append(row(pcm, id=f"clip-{number}", answer=answer, **asked))
    for split in ("train", "dev"):
        write_shard(folder / split / "0.parquet", rows)
    return folder


def random_whisper(folder: Path) -> Path:
    """A Whisper of 3.5 M random weights, most of them its vocabulary's."""
    base = WHISPER_BASE()
    sizes = {"d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 128}
    sizes |= {"decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 128}
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(WhisperConfig(**{**base.model.config.to_dict(), **sizes}))
    model.generation_config = copy.deepcopy(base.model.generation_config)
    model.generation_config.max_length = 16  # it would babble on to 448
    Whisper(model, base.tokenizer, base.extractor).save(folder)
    return folder


def settings(run: Path, weights: str | Path, corpus: Path, **changes: Any) -> dict[str, Any]:
    """A run of six steps of four samples in fp32, read once at the end; `changes` as for `tiny.settings`."""
    found: dict[str, Any] = {
        "run": str(run),
        "model": {"weights": str(weights)},
        "data": {"train": str(corpus), "eval": str(corpus), "eval_rows": 1},
        "schedule": {"steps": 6, "warmup": 2},
        "batch": {"size": 4, "per_device": 4},
        "optimiser": {"peak_lr": 1e-3},
        "compute": {"precision": "fp32"},
        "every": {"save": 3, "eval": 6},
        "spec_augment": {},
    }
    for section, values in changes.items():
        kept = found.get(section)
        found[section] = {**kept, **values} if isinstance(kept, dict) and isinstance(values, dict) else values
    return found
