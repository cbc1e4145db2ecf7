"""Runs of stage 2 that take seconds: a small random model and a corpus of the bundled clips."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import yaml
from numpy.typing import NDArray

from model.checkpoints.build import build
from tests.speech import ROOT, sample
from training.data.schema import SAMPLE_RATE, row, write_shard

QUESTION = "Where are we?"
ANSWERS = {"sg-train": "A platform.", "sg-school": "At school.", "st-recipe": "In a kitchen."}
ANSWERS |= {"st-weather": "On the radio.", "sg-flat": "A flat.", "st-voicemail": "The dentist."}
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def pcm(name: str) -> NDArray[np.int16]:
    """A bundled clip (samples,) at 16 kHz."""
    with av.open(io.BytesIO(sample(name))) as file:
        resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE)
        parts = [part.to_ndarray() for frame in file.decode(audio=0) for part in resampler.resample(frame)]
    sound: NDArray[np.int16] = np.concatenate(parts, axis=1)[0]
    return sound


def corpus(folder: Path, names: Sequence[str] = tuple(ANSWERS)) -> Path:
    """A built corpus: one question about each clip, the same rows to train and to evaluate on."""
    rows = [
        row(pcm(name), id=name, instruction=QUESTION, answer=ANSWERS[name], task="sqa", source="samples")
        for name in names
    ]
    for split in ("train", "dev"):
        write_shard(folder / split / "0.parquet", rows)
    return folder


def checkpoint(folder: Path, **options: Any) -> Path:
    """A random model in the open layout with a Llama decoder; `options` as for `build`."""
    return build(folder, "open", **{"decoder": "llama", **options})


def settings(run: Path, checkpoint: Path, corpus: Path, **changes: Any) -> dict[str, Any]:
    """A run of six steps of four samples, all in fp32; `changes` replace whole sections or keys in them."""
    found: dict[str, Any] = {
        "run": str(run),
        "model": {"checkpoint": str(checkpoint)},
        "data": {"train": str(corpus)},
        "schedule": {"steps": 6, "warmup": 2},
        "batch": {"size": 4, "per_device": 4},
        "optimiser": {"peak_lr": 1e-3},
        "compute": {"precision": "fp32"},
        "every": {"save": 3},
        "spec_augment": {},
    }
    for section, values in changes.items():
        kept = found.get(section)
        found[section] = {**kept, **values} if isinstance(kept, dict) and isinstance(values, dict) else values
    return found


def write(path: Path, values: dict[str, Any]) -> Path:
    """A config as a YAML file."""
    path.write_text(yaml.safe_dump(values), "utf-8")
    return path


def command(*arguments: str, processes: int = 1, module: str = "training.train_audiollm") -> list[str]:
    """A module's command line, under torchrun where there are several processes."""
    if processes == 1:
        return [sys.executable, "-m", module, *arguments]
    launch = ["--standalone", f"--nproc-per-node={processes}", "-m", module]
    return [sys.executable, "-m", "torch.distributed.run", *launch, *arguments]


def ran(*arguments: str, processes: int = 1, module: str = "training.train_audiollm") -> Any:
    """A command run to its end."""
    return subprocess.run(
        command(*arguments, processes=processes, module=module),
        cwd=ROOT,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        timeout=240,
    )


def losses(run: Path) -> dict[int, float]:
    """The loss of each step in a run's metrics."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}
