"""Write a run's model as a folder in a published layout, which model/ and vLLM load.

python -m training.export RUN DIR [--checkpoint N] [--dtype bfloat16] [--shards 4]

LoRA is merged into the decoder, so what is written is an ordinary checkpoint, with a model card.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from model.checkpoints.build import PROCESSORS
from model.checkpoints.inspect import inspect
from model.checkpoints.writing import published, write
from model.layouts import BY_MODEL_TYPE
from training import config as configs
from training.audiollm_config import AudioLLMRun
from training.audiollm_trainer import WEIGHTS, load_trainable
from training.build_model import Built, build
from training.errors import ConfigError, TrainingError
from training.errors import run as run_command
from training.frozen import check_base, fingerprint
from training.lora import merge_lora
from training.model_card import write_card
from training.run_folder import CONFIG, checkpoints, is_whole, step_of

DTYPES = ("float32", "bfloat16", "float16")


def export(run: Path, folder: Path, step: int | None = None, dtype: str = "float32", shards: int = 1) -> Path:
    """Write checkpoint `step` of a run (None: the last whole one) into `folder` and return it.

    Raises ConfigError where the run has no such checkpoint or `folder` holds something else,
    CheckpointMismatch where the weights that it was trained over have changed, TrainingError where the
    folder cannot be written or what was written is not whole.
    """
    checkpoint = find(run, step)
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty. Name a new folder.")
    settings = configs.load(AudioLLMRun, checkpoint / CONFIG)
    built = trained(settings, checkpoint)
    merge_lora(built.model.text_decoder)
    tensors = published(built.model, getattr(torch, dtype))
    layout = BY_MODEL_TYPE[built.config_json["model_type"]]
    content = {**built.config_json, "architectures": [layout.architecture], "dtype": dtype}
    content.pop("torch_dtype", None)
    try:
        tokenizer = built.processor.tokenizer
        write(folder, content, tensors, tokenizer, built.stops, shards, PROCESSORS.get(layout.id))
        write_card(folder, settings, run, checkpoint, layout)
    except OSError as error:
        raise TrainingError(
            f"{folder} could not be written: {error.strerror or error}. Free some space, then export again "
            "into an empty folder."
        ) from error
    if problems := inspect(folder).problems:
        raise TrainingError(f"{folder} is not whole: {problems[0]} Export again into an empty folder.")
    return folder


def trained(settings: AudioLLMRun, checkpoint: Path) -> Built:
    """A run's model in fp32 with a checkpoint's weights, ready to answer. Raises CheckpointMismatch."""
    compute = dataclasses.replace(settings.compute, precision="fp32")
    built = build(dataclasses.replace(settings, compute=compute))
    check_base(checkpoint, {**built.source, "frozen": fingerprint(built.model)})
    load_trainable(built.model, checkpoint / WEIGHTS)
    built.model.eval()
    return built


def find(run: Path, step: int | None) -> Path:
    """The checkpoint of a run to export. Raises ConfigError."""
    whole = {step_of(path): path for path in checkpoints(run) if is_whole(path)}
    if not whole:
        raise ConfigError(f"{run} holds no whole checkpoint. Name the folder of a run that has saved one.")
    if step is None:
        return list(whole.values())[-1]
    if step not in whole:
        held = ", ".join(str(number) for number in whole)
        raise ConfigError(f"{run} holds no whole checkpoint-{step}. Choose one of: {held}.")
    return whole[step]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.export", description="Export a run's model.")
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("folder", type=Path, help="where the model goes: a new folder")
    parser.add_argument("--checkpoint", type=int, metavar="N", help="a step; without it the last one")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--shards", type=int, default=1, help="files that the weights are cut into")
    return parser


def main(given: Sequence[str] | None = None) -> None:
    """Run the command; a TrainingError is for `training.errors.run`."""
    options = _parser().parse_args(given)
    folder = export(options.run, options.folder, options.checkpoint, options.dtype, options.shards)
    sys.stdout.write(inspect(folder).summary() + "\n")


if __name__ == "__main__":
    sys.exit(run_command(main))
