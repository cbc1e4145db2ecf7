"""One device, several, or several machines: the same batches and gradients, however many there are.

    python -m training.train_audiollm ...
    torchrun --nproc-per-node 8 -m training.train_audiollm ...
    accelerate launch --num_processes 8 -m training.train_audiollm ...

Sample i of a step belongs to slot i of the global batch, so that any number of processes that divides it sees
the same batches.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import TrainingArguments

from training.audiollm_config import AdamWConfig, AudioLLMRun, BatchConfig, EveryConfig, ScheduleConfig
from training.errors import ConfigError

LAYERS = ("EncoderLayer", "DecoderLayer")  # how transformers names the classes that FSDP2 shards one by one


def processes() -> int:
    """How many processes torchrun or accelerate started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the process that speaks for all."""
    return int(os.environ.get("RANK", "0")) == 0


def accumulated(batch: BatchConfig, world: int) -> int:
    """Batches that each process takes for one optimiser step. Raises ConfigError unless it comes out even."""
    at_once = batch.per_device * world
    if batch.size % at_once:
        raise ConfigError(
            f"batch.size {batch.size} does not divide into {world} processes of batch.per_device "
            f"{batch.per_device}. Choose a per_device that makes it even."
        )
    return batch.size // at_once


def usual(
    folder: Path, optimiser: AdamWConfig, schedule: ScheduleConfig, every: EveryConfig, seed: int
) -> dict[str, Any]:
    """What all runs tell the Trainer: fused AdamW, linear up and down, rows in the data set's own order."""
    gpu = torch.cuda.is_available()
    return {
        "output_dir": str(folder),
        "seed": seed,
        "max_steps": schedule.steps,
        "train_sampling_strategy": "sequential",
        "optim": "adamw_torch_fused",
        "learning_rate": optimiser.peak_lr,
        "weight_decay": optimiser.weight_decay,
        "adam_beta1": optimiser.beta1,
        "adam_beta2": optimiser.beta2,
        "adam_epsilon": optimiser.eps,
        "max_grad_norm": optimiser.clip,
        "lr_scheduler_type": "linear",
        "warmup_steps": schedule.warmup,
        "use_cpu": not gpu,
        "ddp_backend": "gloo" if processes() > 1 and not gpu else None,
        "ddp_find_unused_parameters": False,
        # Each process reads its own rows; else the first would read for all.
        "accelerator_config": {"dispatch_batches": False},
        "remove_unused_columns": False,
        "logging_steps": every.log,
        "logging_nan_inf_filter": False,  # CarefulTrainer stops instead of hiding it
        "eval_steps": every.eval,
        "save_steps": every.save,
        "report_to": "none",
        "disable_tqdm": True,
    }


def arguments(run: AudioLLMRun, model: nn.Module, use_cpu: bool = False) -> TrainingArguments:
    """The Trainer's arguments for a run. Raises ConfigError where the devices do not suit it.

    `use_cpu`: even where there is a GPU.
    """
    world = processes()
    if run.compute.strategy == "fsdp2" and world == 1:
        raise ConfigError("compute.strategy is fsdp2, which needs several processes. Start it with torchrun.")
    sharded = run.compute.strategy == "fsdp2"
    checkpointing = run.compute.gradient_checkpointing
    return TrainingArguments(
        **usual(run.run, run.optimiser, run.schedule, run.every, run.seed)
        | ({"use_cpu": True} if use_cpu else {}),
        ignore_data_skip=True,  # a resumed run's data set begins where it goes on
        per_device_train_batch_size=run.batch.per_device,
        per_device_eval_batch_size=run.batch.per_device,
        gradient_accumulation_steps=accumulated(run.batch, world),
        bf16=run.compute.precision == "bf16",
        fsdp=sharded or None,
        fsdp_config=_fsdp(model, checkpointing) if sharded else None,
        gradient_checkpointing=checkpointing and not sharded,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        dataloader_num_workers=run.data.workers,
        dataloader_persistent_workers=run.data.workers > 0,
        dataloader_pin_memory=torch.cuda.is_available(),
        label_names=["labels"],
        prediction_loss_only=True,
        eval_strategy="steps" if run.data.eval else "no",
    )


def _fsdp(model: nn.Module, checkpointing: bool) -> dict[str, object]:
    """FSDP2 by layer; only what is trained is gathered for a checkpoint."""
    names = {type(module).__name__ for module in model.modules()}
    return {
        "version": 2,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "transformer_layer_cls_to_wrap": sorted(name for name in names if name.endswith(LAYERS)),
        "reshard_after_forward": True,
        "state_dict_type": "FULL_STATE_DICT",
        "activation_checkpointing": checkpointing,
    }
