"""Hugging Face's Seq2SeqTrainer for a whole Whisper: every token weighs the same; WER at evaluations."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional
from transformers import EvalPrediction, Seq2SeqTrainer, Seq2SeqTrainingArguments

from model.geometry import WINDOW_STATES
from training.config import save
from training.distributed import accumulated, processes, usual
from training.left_out import LeftOut
from training.run_folder import CONFIG
from training.trainer import CarefulTrainer
from training.turns import UNSCORED
from training.wer import normaliser, word_errors
from training.whisper_config import WhisperRun
from training.whisper_model import Whisper

MODEL, WER = "model", "eval_wer"
SHOWN = 100  # characters of an example
BEST = "wer.json"  # in the model's folder: how well it reads, and of which step it is


class WhisperTrainer(CarefulTrainer, Seq2SeqTrainer):
    """Trains all of a Whisper; the one with the lowest WER so far is in the run's folder as `model`."""

    def __init__(self, *arguments: Any, whisper: Whisper, config: WhisperRun, **kwargs: Any) -> None:
        super().__init__(*arguments, **kwargs)
        self._whisper, self._config = whisper, config
        self._left_out = LeftOut(config.run, self.args.process_index)
        self._cost = flops_of(whisper.model)

    def measure(self, batch: dict[str, Any]) -> tuple[int, int, float, int]:
        """Samples, tokens of transcripts, FLOP, and rows left out, which are written down by name."""
        note = batch["note"]
        self._left_out.write(note.left_out)
        return len(note.ids), sum(note.tokens), self._cost(note.tokens), len(note.left_out)

    def row_ids(self, batch: dict[str, Any]) -> tuple[str, ...]:
        """The ids of a batch's rows."""
        ids: tuple[str, ...] = batch["note"].ids
        return ids

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Cross-entropy summed over a batch's scored tokens, over those of the whole optimiser step.

        Whisper's own loss is a mean over its batch, whose tokens would weigh more the fewer there are
        beside them.
        """
        inputs = {name: value for name, value in inputs.items() if name != "note"}
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        total = functional.cross_entropy(
            outputs.logits.float().flatten(0, 1), labels.flatten(), ignore_index=UNSCORED, reduction="sum"
        )
        count = (labels != UNSCORED).sum() if num_items_in_batch is None else num_items_in_batch
        loss = total / count
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes  # DDP takes the mean over processes
        return (loss, outputs) if return_outputs else loss

    def prediction_step(
        self, model: nn.Module, inputs: dict[str, Any], *arguments: Any, **kwargs: Any
    ) -> Any:
        """Read a batch greedily; its note is not the model's."""
        inputs = {name: value for name, value in inputs.items() if name != "note"}
        return super().prediction_step(model, inputs, *arguments, **kwargs)

    def evaluate(self, *arguments: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate, and keep the model where it reads better than ever."""
        asked = {"language": self._config.model.language, "task": "transcribe"}
        found: dict[str, float] = super().evaluate(*arguments, **kwargs, **asked)
        if self.args.should_save and found[WER] < best_wer(Path(self.args.output_dir)):
            self._keep_best(found[WER])
        return found

    def _keep_best(self, wer: float) -> None:
        """Put the model in the place of the best one so far, as a plain Whisper folder."""
        folder = Path(self.args.output_dir) / MODEL
        beside = folder.with_name(f".{MODEL}.part")
        shutil.rmtree(beside, ignore_errors=True)
        self._whisper.save(beside)
        said = {"step": self.state.global_step, "wer": wer}
        (beside / BEST).write_text(json.dumps(said) + "\n", "utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """A checkpoint is a plain Whisper folder too, with the config that made it."""
        super()._save(output_dir, state_dict)
        folder = Path(output_dir or self.args.output_dir)
        self._whisper.extractor.save_pretrained(folder)
        save(self._config, folder / CONFIG)


def best_wer(run: Path) -> float:
    """The WER of the model that a run has kept; infinite where there is none."""
    try:
        return float(json.loads((run / MODEL / BEST).read_text("utf-8"))["wer"])
    except (OSError, ValueError, KeyError):
        return float("inf")


def arguments_of(config: WhisperRun, new: bool) -> Seq2SeqTrainingArguments:
    """A run's settings as the Trainer's. Raises ConfigError where the batch does not divide."""
    return Seq2SeqTrainingArguments(
        **usual(config.run, config.optimiser, config.schedule, config.every, config.seed),
        per_device_train_batch_size=config.batch.per_device,
        per_device_eval_batch_size=config.batch.per_device,
        gradient_accumulation_steps=accumulated(config.batch, processes()),
        bf16=config.compute.precision == "bf16",
        gradient_checkpointing=config.compute.gradient_checkpointing,
        dataloader_num_workers=config.data.workers,
        label_names=["labels"],
        predict_with_generate=True,
        generation_num_beams=1,
        eval_strategy="steps",
        # What the fine-tune has to beat. Evaluated before `train`, the model would not be wrapped for DDP.
        eval_on_start=new,
        data_seed=config.seed,
    )


def wer_of(whisper: Whisper) -> Callable[[EvalPrediction], dict[str, float]]:
    """Metrics of what was read against what was said."""
    tokenizer = whisper.tokenizer
    normalised = normaliser(tokenizer.english_spelling_normalizer)

    def metrics(read: EvalPrediction) -> dict[str, float]:
        said, written = (
            tokenizer.batch_decode(np.where(ids < 0, tokenizer.pad_token_id, ids), skip_special_tokens=True)
            for ids in (read.label_ids, read.predictions)
        )
        errors = word_errors(zip(said, written, strict=True), normalised)
        heard = textwrap.shorten(written[0], SHOWN, placeholder=" ...")
        sys.stderr.write(f"WER {errors.rate:.1%} of {errors.words:,} words, such as: {heard}\n")
        return {"wer": errors.rate, "words": errors.words}

    return metrics


def flops_of(model: Any) -> Callable[[tuple[int, ...]], float]:
    """FLOP of forward and backward of a batch, by its rows' tokens: 6 a weight and place, and attention."""
    config = model.config
    encoder, decoder = model.model.encoder, model.model.decoder
    heard, written = (sum(p.numel() for p in part.layers.parameters()) for part in (encoder, decoder))
    crossed = config.decoder_layers * 2 * config.d_model**2  # keys and values of the states, not of the words
    window = 6 * (
        WINDOW_STATES * (heard + crossed)
        + 2 * WINDOW_STATES * encoder.conv1.weight.numel()
        + WINDOW_STATES * encoder.conv2.weight.numel()
        + config.encoder_layers * 2 * WINDOW_STATES**2 * config.d_model
    )
    token = 6 * (
        written
        - crossed
        + config.vocab_size * config.d_model
        + config.decoder_layers * 2 * WINDOW_STATES * config.d_model
    )
    return lambda tokens: float(len(tokens) * window + sum(tokens) * token)
