"""How a run begins: in an empty folder, or from its last whole checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training import run_folder
from training.config import save
from training.distributed import is_first


def start(config: Any, folder: Path, may_change: Sequence[str], resume: bool) -> Path | None:
    """Make a run's folder ready; the checkpoint to go on from, or None for a new start.

    Raises ConfigError where the folder holds a run that was not to be resumed, CheckpointMismatch where
    another config made it.
    """
    checkpoint: Path | None = None
    left_out: list[str] = []
    if resume:
        checkpoint, left_out = run_folder.to_resume(folder)
        if checkpoint:
            run_folder.check_same(config, checkpoint, may_change)
    elif is_first():
        run_folder.check_empty(folder)
    if is_first():
        sys.stderr.writelines(f"{said}\n" for said in left_out)
        if resume:
            begins = (
                f"Going on from {checkpoint}" if checkpoint else f"{folder} has no checkpoint: a new start"
            )
            sys.stderr.write(f"{begins}.\n")
            run_folder.forget_after(folder, step_of(checkpoint) if checkpoint else -1)
        save(config, folder / run_folder.CONFIG)
    return checkpoint


def step_of(checkpoint: Path | None) -> int:
    """The step that a run goes on from; 0: it is new."""
    return (run_folder.step_of(checkpoint) or 0) if checkpoint else 0
