"""Stage 2: train MERaLiON-AudioLLM (paper, section 3.5).

python -m training.train_audiollm --config training/configs/audiollm_10b.yaml --dry-run
python -m training.train_audiollm --config FILE [--resume] [--set optimiser.peak_lr=1e-4 ...]
torchrun --nproc-per-node 8 -m training.train_audiollm --config FILE

The run's folder is described in training/run_folder.py. A run that was stopped goes on with --resume.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from training import config as configs
from training.audiollm_config import MAY_CHANGE, AudioLLMRun
from training.audiollm_data import eval_examples, mixture_hash, mixture_of, training_examples
from training.audiollm_trainer import AudioLLMTrainer, begin_from
from training.build_model import DTYPES, Built, build
from training.devices import peak_flops
from training.distributed import arguments
from training.dry_run import dry_run
from training.errors import run as run_command
from training.examples import Collator
from training.flops import flops_of
from training.frozen import fingerprint
from training.meters import Meter
from training.progress import Progress
from training.starting import start, step_of


def train(run: AudioLLMRun, resume: bool = False) -> None:
    """Train a run to its end; one that has come to its end already is left as it is.

    Raises ConfigError, DataError, CheckpointMismatch, DivergedError; TrainingError where a disk or a GPU is
    full.
    """
    checkpoint = start(run, run.run, MAY_CHANGE, resume)
    step = step_of(checkpoint)
    if step >= run.schedule.steps:
        sys.stderr.write(f"All {step} steps are made: python -m training.export {run.run} DIR\n")
        return
    built = build(run)
    if run.model.trained_weights and not checkpoint:
        begin_from(built.model, run.model.trained_weights)
    trainer = trainer_of(run, built, step)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if run.data.eval and run.schedule.steps % run.every.eval:
        trainer.evaluate()
    if run.schedule.steps % run.every.save:
        trainer.save_last()


def trainer_of(run: AudioLLMRun, built: Built, step: int = 0) -> AudioLLMTrainer:
    """A run's trainer, ready to go on from `step`."""
    mixture = mixture_of(run)
    model = built.model
    base = {**built.source, "frozen": fingerprint(model), "mixture": mixture_hash(mixture)}
    settings = arguments(run, model)
    pad = built.processor.tokenizer.pad_token_id
    return AudioLLMTrainer(
        model=model,
        args=settings,
        train_dataset=training_examples(run, built, mixture, step),
        eval_dataset=eval_examples(run, built),
        data_collator=Collator(0 if pad is None else pad),
        callbacks=[Progress(run.run, step)],
        meter=Meter(_peak(run, settings.device), settings.world_size),
        keep=run.every.keep,
        run=run,
        base=base,
        flops=flops_of(model),
    )


def _peak(run: AudioLLMRun, device: torch.device) -> float | None:
    return peak_flops(device, DTYPES[run.compute.precision], run.compute.peak_tflops)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.train_audiollm", description="Train MERaLiON-AudioLLM."
    )
    parser.add_argument("--config", type=Path, required=True, help="the run's YAML")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="replace a setting")
    doing = parser.add_mutually_exclusive_group()
    doing.add_argument("--dry-run", action="store_true", help="print what the run would be, as one JSON line")
    doing.add_argument("--resume", action="store_true", help="go on from the last whole checkpoint")
    return parser


def main(given: Sequence[str] | None = None) -> None:
    """Run the command; a TrainingError is for `training.errors.run`."""
    options = _parser().parse_args(given)
    run = configs.load(AudioLLMRun, options.config, options.set)
    if options.dry_run:
        sys.stdout.write(json.dumps(dry_run(run)) + "\n")
        return
    train(run, options.resume)


if __name__ == "__main__":
    sys.exit(run_command(main))
