"""MERaLiON-AudioLLM runs (paper, section 3.5) as nested dataclasses; one YAML a run, in training/configs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from model.geometry import STACK, WINDOW_STATES


@dataclass(frozen=True)
class EncoderSizes:
    """A Whisper encoder's sizes under config.json's names."""

    d_model: int
    encoder_layers: int
    encoder_attention_heads: int
    encoder_ffn_dim: int
    num_mel_bins: int


@dataclass(frozen=True)
class DecoderSizes:
    """A causal LM's sizes under config.json's names."""

    model_type: Literal["gemma2", "llama"]
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    tie_word_embeddings: bool = True


@dataclass(frozen=True)
class Sizes:
    """What the encoder and the decoder must be: a dry run counts by them without any weights."""

    encoder: EncoderSizes
    decoder: DecoderSizes


@dataclass(frozen=True)
class ModelConfig:
    """What is put together: a checkpoint in a published layout, or an encoder, a new adapter and a decoder.

    `encoder` is a Whisper folder, a hub id or "packaged:whisper-base"; `decoder` a causal LM's folder, a hub
    id or "packaged:smollm2". `tail`: states of 20 ms that are heard after a clip's sound; without it all of
    its last window. `adapter_weights` is a safetensors file of adapter and `ln_speech`, warmed up, and
    `trained_weights` all that an earlier run trained, to begin with: its last checkpoint's
    trainable.safetensors.
    """

    checkpoint: str | None = None
    encoder: str | None = None
    decoder: str | None = None
    layout: Literal["v1", "v2", "v3-asr", "open"] = "open"
    adapter: Literal["mlp", "gated"] = "mlp"
    stack: int = STACK
    tail: int | None = None
    adapter_weights: Path | None = None
    trained_weights: Path | None = None
    train_encoder: bool = True
    sizes: Sizes | None = None

    def __post_init__(self) -> None:
        parts = (self.encoder, self.decoder)
        if self.checkpoint is None and None in parts:
            raise ValueError("name an encoder and a decoder, or a checkpoint to go on from.")
        if self.checkpoint is not None and parts != (None, None):
            raise ValueError("a checkpoint brings its encoder and decoder; leave those two out, or it.")
        if self.stack < 1 or WINDOW_STATES % self.stack:
            raise ValueError(f"stack is {self.stack}; it must divide {WINDOW_STATES:,} states, as 15 does.")


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank updates of the decoder's projections; the paper's are those of its MLPs."""

    rank: int = 8
    alpha: int = 32
    dropout: float = 0.05
    targets: tuple[str, ...] = ("gate_proj", "up_proj", "down_proj")

    def __post_init__(self) -> None:
        if self.rank < 1 or not self.targets:
            raise ValueError("rank must be at least 1, and targets must name a projection.")


@dataclass(frozen=True)
class SpecAugmentConfig:
    """Runs of `length` mel frames set to 0; `probability` of a frame to be in one, before overlaps."""

    probability: float = 0.05
    length: int = 20

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1 or self.length < 1:
            raise ValueError("probability must be within 0 and 1, and length at least 1 frame.")


@dataclass(frozen=True)
class DataConfig:
    """`train` is a mixture's YAML or a corpus folder (its split train); `eval` is a corpus folder."""

    train: Path
    eval: Path | None = None
    eval_split: str = "dev"
    eval_rows: int = 200
    workers: int = 0
    max_tokens: int = 512


@dataclass(frozen=True)
class AdamWConfig:
    """Fused AdamW with one peak rate."""

    peak_lr: float = 5e-5
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    clip: float = 1.0

    def __post_init__(self) -> None:
        if not self.clip > 0 or self.peak_lr < 0:
            raise ValueError("clip must be above 0, and peak_lr at least 0.")


@dataclass(frozen=True)
class OptimiserConfig(AdamWConfig):
    """A part's own rate replaces the peak rate where given."""

    encoder_lr: float | None = None
    adapter_lr: float | None = None
    lora_lr: float | None = None


@dataclass(frozen=True)
class ScheduleConfig:
    """Linear up in `warmup` steps, then linear down to 0 at `steps`."""

    steps: int
    warmup: int = 100

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 <= self.warmup <= self.steps:
            raise ValueError("steps must be at least 1, and warmup within 0 and steps.")


@dataclass(frozen=True)
class BatchConfig:
    """`size` samples an optimiser step over all devices; `per_device` at once, the rest is accumulated."""

    size: int
    per_device: int

    def __post_init__(self) -> None:
        if not 1 <= self.per_device <= self.size:
            raise ValueError("per_device must be at least 1 and at most size.")


@dataclass(frozen=True)
class ComputeConfig:
    """How it is computed.

    `precision` "bf16": autocast over fp32 trainables, the frozen decoder kept in bf16; "fp32": all in fp32.
    `peak_tflops` is a device's dense peak for devices that training/devices.py does not know.
    """

    precision: Literal["bf16", "fp32"] = "bf16"
    strategy: Literal["ddp", "fsdp2"] = "ddp"
    gradient_checkpointing: bool = False
    peak_tflops: float | None = None


@dataclass(frozen=True)
class EveryConfig:
    """Steps between two log lines, evaluations and checkpoints, and how many checkpoints are kept."""

    log: int = 1
    eval: int = 500
    save: int = 500
    keep: int = 3

    def __post_init__(self) -> None:
        if min(self.log, self.eval, self.save, self.keep) < 1:
            raise ValueError("each of log, eval, save and keep must be at least 1.")


@dataclass(frozen=True)
class AudioLLMRun:
    """One run of stage 2; `run` is the folder it writes."""

    run: Path
    model: ModelConfig
    data: DataConfig
    schedule: ScheduleConfig
    batch: BatchConfig
    lora: LoraConfig = field(default_factory=LoraConfig)
    spec_augment: SpecAugmentConfig | None = None
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    every: EveryConfig = field(default_factory=EveryConfig)
    seed: int = 42


MAY_CHANGE = (
    "run",
    "every",
    "data.eval",
    "data.eval_split",
    "data.eval_rows",
    "data.workers",
    "batch.per_device",
    "compute.gradient_checkpointing",
    "compute.peak_tflops",
)
"""Settings that a resumed run may change: none of them changes what is learnt from which sample."""
