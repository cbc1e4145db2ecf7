"""A run's folder: whole checkpoints, the metrics that are true of them, and whether a config fits.

config.yaml  metrics.jsonl  tensorboard/  left_out.jsonl
checkpoint-N/  trainable.safetensors  base.json  config.yaml  optimizer.pt  scheduler.pt  rng_state*.pth
               trainer_state.json  whole.json (written last: names and sizes of the others)
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from training.errors import CheckpointMismatch, ConfigError

CONFIG, METRICS, WHOLE = "config.yaml", "metrics.jsonl", "whole.json"
PREFIX = "checkpoint-"


def checkpoints(run: Path) -> list[Path]:
    """The checkpoints in a run's folder by step, whole or not."""
    return sorted((path for path in run.glob(f"{PREFIX}*") if step_of(path) is not None), key=_step)


def step_of(checkpoint: Path) -> int | None:
    """The step of "checkpoint-N"; None for other names."""
    number = checkpoint.name.removeprefix(PREFIX)
    return int(number) if number.isdecimal() else None


def is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint was written to its end and nothing of it has been lost since."""
    try:
        sizes: dict[str, int] = json.loads((checkpoint / WHOLE).read_text("utf-8"))
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def check_trained(weights: Path) -> None:
    """Raise ConfigError unless a run's `model.trained_weights` lie in a whole checkpoint."""
    if not (weights.is_file() and is_whole(weights.parent)):
        raise ConfigError(
            f"model.trained_weights: {weights} is not there, or its checkpoint is not whole. Train the run "
            f"that makes it first, or name the trainable.safetensors of another {PREFIX}STEP."
        )


def mark_whole(checkpoint: Path) -> None:
    """Say that a checkpoint is whole, once its files are on the disk."""
    sizes = {}
    for path in sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != WHOLE):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        sizes[str(path.relative_to(checkpoint))] = path.stat().st_size
    half = checkpoint / f".{WHOLE}"
    with half.open("w", encoding="utf-8") as file:
        json.dump(sizes, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    half.replace(checkpoint / WHOLE)


def keep_newest(run: Path, count: int) -> None:
    """Delete all but the newest `count` whole checkpoints."""
    for old in [path for path in checkpoints(run) if is_whole(path)][:-count]:
        shutil.rmtree(old, ignore_errors=True)


def to_resume(run: Path) -> tuple[Path | None, list[str]]:
    """The newest whole checkpoint, and a sentence about each newer one that is not whole."""
    said: list[str] = []
    for path in reversed(checkpoints(run)):
        if is_whole(path):
            return path, said
        said.append(f"{path} is half-written and is left out.")
    return None, said


def check_empty(run: Path) -> None:
    """Raise ConfigError where a run's folder holds a run already."""
    found = checkpoints(run)
    if found or (run / METRICS).exists():
        held = found[-1].name if found else METRICS
        raise ConfigError(
            f"{run} holds a run already ({held}). Add --resume to go on with it, or choose another folder "
            "with --set run=FOLDER."
        )


def check_same(config: Any, checkpoint: Path, may_change: Iterable[str], name: str = CONFIG) -> None:
    """Raise CheckpointMismatch naming the settings that differ from those a checkpoint was made with.

    `name`: the file in its folder that has them.
    """
    try:
        held = yaml.safe_load((checkpoint / name).read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise CheckpointMismatch(
            f"{checkpoint} does not say which config made it ({error}). Resume from another checkpoint."
        ) from None
    before, now = _flat(held), _flat(asdict(config))
    free = tuple(may_change)
    differ = [
        f"{key} was {before.get(key)!r} and is {now.get(key)!r}"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
        and not key.startswith(tuple(f"{name}." for name in free))
        and key not in free
    ]
    if differ:
        raise CheckpointMismatch(
            f"{checkpoint} was made by another config: {'; '.join(differ)}. Put these back, or start a new "
            "run in another folder."
        )


def forget_after(run: Path, step: int) -> None:
    """Drop metrics of steps that a resumed run makes again, and a last line cut short by a kill."""
    path = run / METRICS
    if not path.exists():
        return
    kept = [line for line in path.read_text("utf-8").splitlines() if _step_of_line(line) <= step]
    half = path.with_name(f".{METRICS}")
    half.write_text("".join(f"{line}\n" for line in kept), "utf-8")
    half.replace(path)


def read_metrics(run: Path) -> list[dict[str, float]]:
    """The lines of a run's metrics."""
    return [json.loads(line) for line in (run / METRICS).read_text("utf-8").splitlines()]


def _step(checkpoint: Path) -> int:
    return step_of(checkpoint) or 0


def _step_of_line(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _flat(values: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    """Nested values under their key paths; paths as text, tuples as lists, as YAML holds them."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        path = f"{at}{key}"
        if isinstance(value, Mapping):
            found |= _flat(value, f"{path}.")
        else:
            found[path] = str(value) if isinstance(value, Path) else _listed(value)
    return found


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
