"""Stage 2's Trainer: AdamW in groups by part, and checkpoints that hold what is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from accelerate.utils import save_fsdp_optimizer
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from transformers import Trainer

from training import config as configs
from training.audiollm_config import AudioLLMRun
from training.errors import CheckpointMismatch
from training.examples import BatchNote
from training.flops import Flops
from training.frozen import check_base, fingerprint, write_base
from training.left_out import LeftOut
from training.parameters import adamw, trainable
from training.run_folder import CONFIG, check_trained
from training.trainer import CarefulTrainer

WEIGHTS = "trainable.safetensors"


class AudioLLMTrainer(CarefulTrainer, Trainer):
    """Trains encoder, adapter and LoRA; see CarefulTrainer for what is done at each step."""

    optimizer: Any

    def __init__(
        self,
        *arguments: Any,
        run: AudioLLMRun,
        base: dict[str, str],
        flops: Flops,
        **kwargs: Any,
    ) -> None:
        """`base` is what the run trains over, see training/frozen.py."""
        super().__init__(*arguments, **kwargs)
        self._run, self._base, self._flops = run, base, flops
        self._left_out = LeftOut(run.run, self.args.process_index)
        self._names = {name for name, _ in trainable(self.model)}

    def measure(self, batch: dict[str, Any]) -> tuple[int, int, float, int]:
        """Samples, tokens, FLOP, and rows left out; the last are written down by name."""
        note: BatchNote = batch["note"]
        self._left_out.write(note.left_out)
        flops = self._flops.of_batch(note.windows, note.tokens, note.scored)
        return len(note.ids), sum(note.tokens), flops, len(note.left_out)

    def row_ids(self, batch: dict[str, Any]) -> tuple[str, ...]:
        """The ids of a batch's rows."""
        note: BatchNote = batch["note"]
        return note.ids

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], *arguments: Any, **kwargs: Any) -> Any:
        """The sum of equation 1 over a batch's scored tokens, by all that the whole step scores."""
        tensors = {name: value for name, value in inputs.items() if name != "note"}
        return super().compute_loss(model, tensors, *arguments, **kwargs)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Fused AdamW, a group for each part."""
        if self.optimizer is None:
            self.optimizer = adamw(self.model if model is None else model, self._run.optimiser)
        return self.optimizer

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """Write what is trained in fp32, and what it was trained over."""
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        held = self.model.state_dict() if state_dict is None else state_dict
        tensors = {
            name: value.detach().to("cpu", torch.float32).contiguous()
            for name, value in held.items()
            if name in self._names
        }
        save_file(tensors, folder / WEIGHTS)
        write_base(folder, self._base)
        configs.save(self._run, folder / CONFIG)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """Save them; under FSDP without the whole model, which the Trainer would write beside them."""
        if not self.is_fsdp_enabled:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        plugin = self.accelerator.state.fsdp_plugin
        save_fsdp_optimizer(plugin, self.accelerator, self.optimizer, self.model, output_dir)
        if self.args.should_save:
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / "scheduler.pt")

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Put a checkpoint's weights in place. Raises CheckpointMismatch where they are of another model."""
        folder = Path(resume_from_checkpoint)
        check_base(folder, self._base)
        load_trainable(self.model if model is None else model, folder / WEIGHTS)


def begin_from(model: nn.Module, weights: Path) -> None:
    """Begin with what an earlier run trained, in place of fresh adapter and LoRA.

    Raises ConfigError where it is not there whole, CheckpointMismatch where it was trained over other frozen
    weights or is another model's.
    """
    check_trained(weights)
    check_base(weights.parent, {"frozen": fingerprint(model)})
    load_trainable(model, weights)


def load_trainable(model: nn.Module, path: Path) -> None:
    """Load the trained weights of a checkpoint into a model, sharded or not. Raises CheckpointMismatch."""
    tensors = load_file(path)
    wanted = {name: value.shape for name, value in trainable(model)}
    held = {name: value.shape for name, value in tensors.items()}
    if wrong := sorted(name for name in {*wanted, *held} if wanted.get(name) != held.get(name)):
        raise CheckpointMismatch(
            f"{path} does not hold what this model trains: {wrong[0]} and {len(wrong) - 1} more differ. "
            "Give the config that the run was started with."
        )
    options = StateDictOptions(full_state_dict=True, strict=False)
    set_model_state_dict(model, dict(tensors), options=options)
