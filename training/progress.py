"""What a run says of itself: metrics.jsonl, TensorBoard, and a bar with the rates beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.run_folder import METRICS

NAMES = {"learning_rate": "lr"}
LEFT_ALONE = ("epoch", "total_flos", "train_runtime", "train_steps_per_second", "train_samples_per_second")
BAR = {"loss": "{:.3f}", "samples_per_s": "{:.1f}", "tokens_per_s": "{:,.0f}", "mfu": "{:.1%}"}
BAR["data_wait"] = "{:.0%}"


class Progress(TrainerCallback):
    """Writes each logged line; on the first process only."""

    def __init__(self, run: Path, resumed_at: int = 0) -> None:
        self._run = run
        self._resumed_at = resumed_at
        self._board: SummaryWriter | None = None
        self._bar: tqdm[None] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Open the bar and TensorBoard, which forgets the steps that are made again."""
        if not state.is_world_process_zero:
            return
        self._board = SummaryWriter(str(self._run / "tensorboard"), purge_step=self._resumed_at + 1)
        self._bar = tqdm(total=state.max_steps, initial=state.global_step, unit="step", dynamic_ncols=True)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Move the bar."""
        if self._bar:
            self._bar.update(state.global_step - self._bar.n)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write a line."""
        line = {
            NAMES.get(name, name): value for name, value in (logs or {}).items() if name not in LEFT_ALONE
        }
        if not state.is_world_process_zero or not line or "train_loss" in line:
            return
        with (self._run / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": state.global_step, **line}) + "\n")
        for name, value in line.items():
            if self._board:
                self._board.add_scalar(name, value, state.global_step)
        if self._bar:
            self._bar.set_postfix(
                {name: form.format(line[name]) for name, form in BAR.items() if name in line}
            )

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close both."""
        if self._board:
            self._board.close()
        if self._bar:
            self._bar.close()
        self._board = self._bar = None
