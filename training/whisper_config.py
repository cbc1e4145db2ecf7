"""A run of MERaLiON-Whisper (paper, section 3.1) as nested dataclasses; one YAML a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from training.audiollm_config import (
    AdamWConfig,
    BatchConfig,
    ComputeConfig,
    EveryConfig,
    ScheduleConfig,
    SpecAugmentConfig,
)


@dataclass(frozen=True)
class WhisperSizes:
    """A Whisper's sizes under config.json's names; encoder and decoder have equally wide layers."""

    d_model: int
    encoder_layers: int
    decoder_layers: int
    attention_heads: int
    ffn_dim: int
    num_mel_bins: int
    vocab_size: int


@dataclass(frozen=True)
class WhisperModelConfig:
    """`weights` is a Whisper folder, a hub id or "packaged:whisper-base"; `language` its prompt, a code or
    a name.

    With `sizes` a dry run counts parameters without any weights.
    """

    weights: str
    language: str = "en"
    dropout: float = 0.0
    sizes: WhisperSizes | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout must be at least 0 and below 1.")


@dataclass(frozen=True)
class SpeechConfig:
    """`train` is a mixture's YAML or a corpus folder, for its transcripts; `eval` a corpus folder."""

    train: Path
    eval: Path
    eval_split: str = "dev"
    eval_rows: int = 500
    workers: int = 0

    def __post_init__(self) -> None:
        if self.eval_rows < 1 or self.workers < 0:
            raise ValueError("eval_rows must be at least 1, and workers at least 0.")


@dataclass(frozen=True)
class FullOptimiserConfig(AdamWConfig):
    """Over the whole model."""

    peak_lr: float = 1e-5


@dataclass(frozen=True)
class WhisperRun:
    """One run of stage 1; `run` is the folder it writes, `run`/model the Whisper that it ends with."""

    run: Path
    model: WhisperModelConfig
    data: SpeechConfig
    schedule: ScheduleConfig
    batch: BatchConfig
    spec_augment: SpecAugmentConfig | None = None
    optimiser: FullOptimiserConfig = field(default_factory=FullOptimiserConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    every: EveryConfig = field(default_factory=EveryConfig)
    seed: int = 42

    def __post_init__(self) -> None:
        if self.compute.strategy != "ddp":
            raise ValueError("stage 1 runs under ddp; a Whisper fits into any GPU that trains it.")
