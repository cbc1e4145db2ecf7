"""A run's first step without dropout, its gradients written: -m tests.training.gradients CONFIG FILE."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn
from transformers import TrainerCallback

from training import config as configs
from training.audiollm_config import AudioLLMRun
from training.build_model import build
from training.parameters import trainable
from training.train_audiollm import trainer_of


class Keep(TrainerCallback):
    """Saves gradients just before the optimiser takes them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The first process writes; all hold the same."""
        if state.is_world_process_zero:
            found = {name: value.grad for name, value in trainable(kwargs["model"]) if value.grad is not None}
            save_file({name: grad.contiguous() for name, grad in found.items()}, self.path)


def write(config: Path, out: Path) -> None:
    """Make one step of the run that `config` describes."""
    run = configs.load(AudioLLMRun, config)
    run.run.mkdir(parents=True, exist_ok=True)
    trainer = trainer_of(run, build(run))
    for module in trainer.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    trainer.add_callback(Keep(out))
    trainer.train()


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
