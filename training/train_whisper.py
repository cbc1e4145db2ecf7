"""Stage 1, MERaLiON-Whisper (paper, section 3.1): fine-tune all of a Whisper on transcripts.

    python -m training.train_whisper --config training/configs/whisper_tiny.yaml    # on two cores
    torchrun --nproc-per-node 8 -m training.train_whisper --config training/configs/whisper_large_v2.yaml
    ... --dry-run                   parameters, steps and data, as one JSON line
    ... --resume                    go on from the last whole checkpoint
    ... --set optimiser.peak_lr=5e-6 --set run=runs/other

The run's folder ends with `model`, the Whisper with the lowest WER, whose encoder stage 2 takes. It has
learnt to hear sound of variance 1, as the audio LLM gives it: call its feature extractor with
do_normalize=True.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Subset
from transformers import set_seed

from training.config import load
from training.data.mixture import Mixture, MixtureDataset, Rows, Source
from training.devices import peak_flops
from training.errors import DataError, TrainingError, run
from training.examples import Examples
from training.meters import Meter
from training.progress import Progress
from training.starting import start, step_of
from training.turns import UnfitRow
from training.whisper_config import WhisperRun
from training.whisper_examples import TranscriptCollator, Transcripts
from training.whisper_model import load as load_whisper
from training.whisper_model import on_meta
from training.whisper_trainer import MODEL, WhisperTrainer, arguments_of, wer_of

MAY_CHANGE = (  # settings that do not change what is learnt from which row
    *("run", "every", "data.eval", "data.eval_split", "data.eval_rows", "data.workers"),
    *("batch.per_device", "compute.gradient_checkpointing", "compute.peak_tflops"),
)


def main() -> None:
    """Train, or say what would be trained."""
    options = _parser().parse_args()
    config = load(WhisperRun, options.config, options.overrides)
    if options.dry_run:
        sys.stdout.write(json.dumps(dry_run(config)) + "\n")
    else:
        train(config, resume=options.resume)


def train(config: WhisperRun, resume: bool = False) -> Path:
    """Train a run to its end and return the folder of the best model.

    Raises ConfigError, DataError, CheckpointMismatch, DivergedError, and TrainingError for a full disk.
    """
    checkpoint = start(config, config.run, MAY_CHANGE, resume)
    if step_of(checkpoint) >= config.schedule.steps:
        sys.stderr.write(
            f"All {config.schedule.steps} steps are made; the model is in {config.run / MODEL}.\n"
        )
        return config.run / MODEL
    set_seed(config.seed)
    whisper = load_whisper(config.model.weights, config.model.dropout)
    transcripts: Any = Transcripts(
        whisper.tokenizer, config.model.language, whisper.model.config.max_target_positions
    )
    arguments = arguments_of(config, new=checkpoint is None)
    dtype = torch.bfloat16 if arguments.bf16 else torch.float32
    trainer = WhisperTrainer(
        whisper=whisper,
        config=config,
        model=whisper.model,
        args=arguments,
        train_dataset=Examples(
            train_rows(config), transcripts, whisper.extractor, config.spec_augment, config.seed
        ),
        eval_dataset=Examples(held_out(config, transcripts), transcripts, whisper.extractor),
        data_collator=TranscriptCollator(whisper.tokenizer.pad_token_id),
        compute_metrics=wer_of(whisper),
        processing_class=whisper.tokenizer,
        callbacks=[Progress(config.run, step_of(checkpoint))],
        meter=Meter(peak_flops(arguments.device, dtype, config.compute.peak_tflops), arguments.world_size),
        keep=config.every.keep,
    )
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return config.run / MODEL


def train_rows(config: WhisperRun) -> MixtureDataset:
    """The run's rows in their order. Raises ConfigError and DataError."""
    path = config.data.train
    alone = Source(path, tasks=("asr",))
    mixture = Mixture((alone,), seed=config.seed) if path.is_dir() else Mixture.load(path)
    return MixtureDataset(mixture, config.batch.size, config.schedule.steps)


def held_out(config: WhisperRun, transcripts: Transcripts) -> Subset[dict[str, Any]]:
    """The transcripts to read at each evaluation; those that cannot be read are named. Raises DataError."""
    rows = Rows(config.data.eval, config.data.eval_split, ("asr",), config.data.eval_rows)
    fit = []
    for index in range(len(rows)):
        row = rows[index]
        try:
            transcripts.encode("", row["answer"], row["audio"].size)
            fit.append(index)
        except UnfitRow as reason:
            sys.stderr.write(f"Not evaluated: {row['id']}: {reason}.\n")
    if not fit:
        raise DataError(f"No transcript of {config.data.eval} can be used. Choose another data.eval.")
    return Subset(rows, fit)


def dry_run(config: WhisperRun) -> dict[str, Any]:
    """What a run would train, on how much; the corpora are described where they are built."""
    model = on_meta(config.model)
    parts = {"encoder": model.model.encoder, "decoder": model.model.decoder}
    counts = {
        kind: {name: _count(part, trained) for name, part in parts.items()}
        | {"total": _count(model, trained)}
        for kind, trained in (("trainable", True), ("frozen", False))
    }
    samples = config.batch.size * config.schedule.steps
    found: dict[str, Any] = {"parameters": counts, "steps": config.schedule.steps, "samples": samples}
    try:
        found["data"] = train_rows(config).describe()
    except TrainingError as error:
        found["data"] = str(error)
    return found


def _count(part: nn.Module, trained: bool) -> int:
    return sum(each.numel() for each in part.parameters() if each.requires_grad == trained)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.train_whisper", description="Fine-tune all of a Whisper on transcripts."
    )
    parser.add_argument("--config", type=Path, required=True, help="the run's YAML")
    parser.add_argument("--dry-run", action="store_true", help="say what would be trained, in one JSON line")
    parser.add_argument("--resume", action="store_true", help="go on from the last whole checkpoint")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="replace a setting"
    )
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
