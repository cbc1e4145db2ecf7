"""What both stages add to the Trainer: whole checkpoints, rates, and a stop at a loss that is no number.

`CarefulTrainer` is a mixin: `class X(CarefulTrainer, Trainer)` or `class X(CarefulTrainer, Seq2SeqTrainer)`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PrinterCallback, set_seed

from training.errors import DivergedError, TrainingError
from training.meters import Meter
from training.run_folder import PREFIX, checkpoints, is_whole, keep_newest, mark_whole

SHOWN_ROWS = 8  # ids in a message


class CarefulTrainer:
    """Over a Trainer; a subclass says in `measure` what a batch costs and in `row_ids` what is in it."""

    args: Any
    accelerator: Any
    state: Any
    remove_callback: Any
    _load_rng_state: Any
    model_wrapped: Any

    def __init__(self, *arguments: Any, meter: Meter, keep: int, **kwargs: Any) -> None:
        """`keep` is how many whole checkpoints stay."""
        super().__init__(*arguments, **kwargs)
        self.remove_callback(PrinterCallback)  # Progress says it
        self._meter, self._keep = meter, keep
        self._to_restore: str | None = None
        self._losses: list[tuple[tuple[str, ...], Tensor]] = []

    def measure(self, batch: dict[str, Any]) -> tuple[int, int, float, int]:
        """Samples, tokens, FLOP, and rows left out of a batch."""
        raise NotImplementedError

    def row_ids(self, batch: dict[str, Any]) -> tuple[str, ...]:
        """The ids of a batch's rows."""
        raise NotImplementedError

    def train(self, *arguments: Any, **kwargs: Any) -> Any:
        """Train. Each process draws dropout of its own: with one seed all would drop the same."""
        set_seed(self.args.seed + self.args.process_index)
        self._to_restore = kwargs.get("resume_from_checkpoint")
        try:
            return super().train(*arguments, **kwargs)  # type: ignore[misc]
        except RuntimeError as error:  # it comes by a signal, wherever the loop is
            if "DataLoader worker" not in str(error):
                raise
            raise TrainingError(
                f"A data worker was lost ({_first_line(error)}), most often for want of memory. "
                f"{self._last_whole()} Lower data.workers or the mixture's cache_mb, then go on with "
                "--resume."
            ) from error

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """The batches of one optimiser step; the time until they are there is the data's."""
        self._losses.clear()
        self._meter.begin()
        try:
            batches = super().get_batch_samples(epoch_iterator, num_batches, device)  # type: ignore[misc]
        except TrainingError as error:
            raise _from_worker(error) from None
        self._meter.data_came()
        if self._to_restore:
            # Opening a data loader draws a number, so the generators are put back after that.
            self._load_rng_state(self._to_restore)
            self._to_restore = None
        found: tuple[list[Any], Any] = batches
        return found

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], *arguments: Any, **kwargs: Any
    ) -> Tensor:
        """Forward and backward of one batch, counted."""
        self._meter.add(*self.measure(inputs))
        ids = self.row_ids(inputs)
        loss: Tensor = super().training_step(model, inputs, *arguments, **kwargs)  # type: ignore[misc]
        self._losses.append((ids, loss))
        return loss

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        """Clip, and stop before the optimiser takes in gradients that are no numbers."""
        norm = super()._clip_grad_norm(model)  # type: ignore[misc]
        # The norm is the same on every process, so that all stop together.
        if not torch.isfinite(torch.as_tensor(float(norm))):
            raise DivergedError(self._diverged(float(norm)))
        return norm

    def _maybe_log_save_evaluate(self, *arguments: Any, **kwargs: Any) -> None:
        """The step's time ends before a log line, an evaluation or a checkpoint."""
        self._meter.end()
        super()._maybe_log_save_evaluate(*arguments, **kwargs)  # type: ignore[misc]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log with the rates since the last line; every process takes part in adding them up."""
        if "loss" in logs:
            logs |= self._meter.read(self._summed)
        super().log(logs, start_time)  # type: ignore[misc]

    def _summed(self, tally: Tensor) -> Tensor:
        if self.args.world_size == 1:
            return tally
        found: Tensor = self.accelerator.reduce(tally.to(self.args.device, torch.float32), "sum")
        return found.cpu()

    def _diverged(self, norm: float) -> str:
        own = [ids for ids, loss in self._losses if not torch.isfinite(loss)]
        rows = [row for ids in own or [ids for ids, _ in self._losses] for row in ids]
        shown = ", ".join(rows[:SHOWN_ROWS]) + (
            f" and {len(rows) - SHOWN_ROWS} more" if len(rows) > SHOWN_ROWS else ""
        )
        return (
            f"At step {self.state.global_step + 1} {'the loss' if own else 'the gradient'} is no number "
            f"(gradient norm {norm}); the rows were {shown}. Nothing of this step was learnt. "
            f"{self._last_whole()} Look at these rows, or lower optimiser.peak_lr."
        )

    def _last_whole(self) -> str:
        whole = [path for path in checkpoints(Path(self.args.output_dir)) if is_whole(path)]
        return f"The last whole checkpoint is {whole[-1].name}." if whole else "There is no checkpoint yet."

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Save, say that it is whole once every process has written, then delete the oldest."""
        folder = Path(self.args.output_dir) / f"{PREFIX}{self.state.global_step}"
        if self.args.should_save:
            shutil.rmtree(folder, ignore_errors=True)
        self._wait()
        try:
            super()._save_checkpoint(model, trial)  # type: ignore[misc]
            self._wait()
            if self.args.should_save:
                mark_whole(folder)
                keep_newest(folder.parent, self._keep)
        except (OSError, RuntimeError, SafetensorError) as error:
            shutil.rmtree(folder, ignore_errors=True)  # half of it would only fill the disk further
            raise TrainingError(
                f"{folder} could not be written: {_first_line(error)}. {self._last_whole()} Free some space, "
                "then go on with --resume."
            ) from error
        self._wait()

    def save_last(self) -> None:
        """A checkpoint at the end of a run, wherever that falls."""
        self._save_checkpoint(self.model_wrapped, None)

    def _wait(self) -> None:
        if self.args.world_size > 1:
            dist.barrier()


def _from_worker(error: TrainingError) -> TrainingError:
    """The sentence of an error, without the traceback that a data worker puts around it."""
    kind = type(error)
    return kind(str(error).rsplit(f"{kind.__name__}: ", 1)[-1].strip())


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
