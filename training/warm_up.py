"""Warm up the mini model's adapter by CTC, until it hears people (see training/ctc.py).

    python -m training.warm_up --config training/configs/mini.yaml [--resume] [--set warm_up.patience=4]

The run's folder ends with `adapter.safetensors`, the adapter and `ln_speech` that stage 2 takes as
`model.adapter_weights`, and `ctc.safetensors`, what reads it. It reads states: see training/features.py.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import Trainer, TrainingArguments, set_seed

from model import adapter
from training import config as configs
from training import run_folder
from training.batches import Batches
from training.ctc import CtcHead, SpokenWords, ctc_loss, fits, greedy
from training.data.files import write_text, written_whole
from training.devices import peak_flops
from training.distributed import usual
from training.errors import DataError
from training.errors import run as run_command
from training.feature_store import STATES, Features
from training.features import folder_of
from training.from_shipped import begin_with, shipped_tensors_of
from training.left_out import LeftOut
from training.meters import Meter
from training.mini_config import MiniRun
from training.parameters import adamw, part_of, trainable
from training.parts import load_decoder, load_encoder
from training.progress import Progress
from training.starting import start, step_of
from training.trainer import CarefulTrainer
from training.upper import Upper
from training.variation import Varied
from training.wer import WordErrors, normaliser, word_errors

ADAPTER, HEAD, BEST = "adapter.safetensors", "ctc.safetensors", "best.json"
FORWARD_BACKWARD = 6  # FLOP a weight and vector: a product forward, two backward
READABLE = 0o644  # safetensors writes for the owner alone
READ_AT_ONCE = 16  # clips in a reading
MAY_CHANGE = (  # settings that do not change what is learnt from which clip
    *("report", "features.folder", "features.workers", "warm_up.run", "warm_up.every", "warm_up.patience"),
    *("listen.run", "listen.lora", "listen.data.max_tokens", "listen.optimiser", "listen.schedule"),
    *("listen.batch", "listen.every", "ctc_weight", "voice_weight", "eval_rows", "repeat", "ask", "join"),
    *("weigh", "listen.model.trained_weights"),
)


class Ear(nn.Module):
    """What of the audio LLM is warmed up, under its names, and the head that reads it."""

    def __init__(
        self, run: MiniRun, d_model: int, embeddings: Tensor, size: float, upper: Upper | None = None
    ) -> None:
        """`embeddings` [vocabulary, hidden] of the words; `size` is the RMS of all token embeddings."""
        super().__init__()
        self.speech_encoder = upper
        model = run.listen.model
        self.ln_speech = nn.LayerNorm(d_model)
        self.speech_audio_adapter = adapter.build(model.adapter, d_model, model.stack, embeddings.shape[1])
        self.head = CtcHead(embeddings)
        self._stack, self._size, self._weight = model.stack, size, run.warm_up.size_weight

    def embedded(self, states: Tensor, kept: Tensor) -> Tensor:
        """The first `kept` [batch] of states [batch, states, d_model] to speech embeddings.

        They are [batch, states / stack, hidden].
        """
        if self.speech_encoder is not None:
            states = self.speech_encoder(states, kept)
        found: Tensor = self.speech_audio_adapter(self.ln_speech(states))
        return found

    def forward(self, states: Tensor, kept: Tensor, targets: list[list[int]]) -> dict[str, Tensor]:
        """The loss of `targets` said by the first `kept` [batch] of `states` [batch, states, d_model]."""
        speech = self.embedded(states, kept)
        lengths = (kept // self._stack).tolist()
        loss = ctc_loss(self.head(speech), lengths, targets)
        heard = torch.arange(speech.shape[1]) < (kept // self._stack)[:, None]
        return {"loss": loss + self._weight * size_loss(speech[heard], self._size)}

    def adapter_state(self) -> dict[str, Tensor]:
        """What stage 2 goes on from: adapter, `ln_speech`, and the encoder's layers if they are tuned."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith("head.")}


@dataclass(frozen=True)
class Spoken:
    """A clip with the places of its words; `text` is its transcript."""

    id: str
    states: Tensor  # [kept, d_model]
    target: list[int]
    text: str


class SpokenClips:
    """The transcribed clips of a split; `left_out` says which cannot be learnt, and why."""

    def __init__(self, features: Features, words: SpokenWords, stack: int) -> None:
        self._features, self.words = features, words
        self.left_out: list[str] = []
        self.rows = [row for row in transcribed(features) if self._fit(row, stack)]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Spoken:
        row = self.rows[index]
        target = self.words.targets(row["answer"]) or []
        return Spoken(row["id"], self._features.states(row), target, row["answer"])

    def _fit(self, row: dict[str, Any], stack: int) -> bool:
        target = self.words.targets(row["answer"])
        if target is None:
            self.left_out.append(f"{row['id']}: it has no word")
        elif not fits(target, row["kept"] // stack):
            self.left_out.append(f"{row['id']}: its {len(target)} tokens do not fit into its audio tokens")
        else:
            return True
        return False


class VariedBatches(Batches):
    """Batches of clips that are otherwise in each epoch."""

    def __init__(self, clips: SpokenClips, run: MiniRun) -> None:
        """Of a run's warm-up."""
        lengths = [row["kept"] for row in clips.rows]
        super().__init__(clips, lengths, run.warm_up.batch, run.warm_up.schedule.steps, run.listen.seed)
        self._clips, self._run = clips, run

    def _item(self, place: int, epoch: int) -> Spoken:
        clip, run = self._clips[place], self._run
        name = f"{run.listen.seed}/{epoch}/{clip.id}"
        varied = Varied(clip.states, clip.target).by(
            run.warm_up.vary, self._clips.words, run.listen.model.stack, name
        )
        return dataclasses.replace(clip, states=varied.states, target=varied.target)


class WarmUpTrainer(CarefulTrainer, Trainer):
    """Trains an Ear; the one that reads people best is kept in the run's folder."""

    control: Any
    optimizer: Any

    def __init__(
        self, *arguments: Any, run: MiniRun, words: SpokenWords, held_out: dict[str, HeldOut], **kwargs: Any
    ) -> None:
        """`held_out`: sets to read; that called "people" decides which ear is best."""
        super().__init__(*arguments, **kwargs)
        self._run, self._words, self._held_out = run, words, held_out
        self._products = sum(each.numel() for each in self.model.speech_audio_adapter.parameters())
        self._products += self.model.head.tokens.numel()
        self._upper = sum(each.numel() for name, each in trainable(self.model) if part_of(name) == "encoder")

    def measure(self, batch: dict[str, Any]) -> tuple[int, int, float, int]:
        """Clips, audio tokens, FLOP, and no row: those that cannot be used were left out before."""
        states = int(batch["kept"].sum())
        tokens = states // self._run.listen.model.stack
        products = tokens * self._products + states * self._upper
        return len(batch["ids"]), tokens, float(FORWARD_BACKWARD * products), 0

    def row_ids(self, batch: dict[str, Any]) -> tuple[str, ...]:
        """The ids of a batch's clips."""
        return tuple(batch["ids"])

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW, a group for each part."""
        if self.optimizer is None:
            self.optimizer = adamw(self.model if model is None else model, self._run.warm_up.optimiser)
        return self.optimizer

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], *arguments: Any, **kwargs: Any) -> Any:
        """The loss of a batch, which brings the ids of its clips along."""
        tensors = {name: value for name, value in inputs.items() if name != "ids"}
        return super().compute_loss(model, tensors, *arguments, **kwargs)

    def evaluate(self, *arguments: Any, **kwargs: Any) -> dict[str, float]:
        """Read the held-out sets, keep the ear where it reads people better than ever, or end the warm-up."""
        self.model.eval()
        rates = {name: read_wer(self.model, held, self._words).rate for name, held in self._held_out.items()}
        found = {f"eval_{name}_wer": rate for name, rate in rates.items()}
        self.log(dict(found))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
        step, best = self.state.global_step, best_of(self._run.warm_up.run)
        if best is None or rates["people"] < best["people"]:
            self._keep_ear(rates | {"step": step})
        elif step - best["step"] >= self._run.warm_up.patience * self._run.warm_up.every.eval:
            self.control.should_training_stop = True
        return found

    def _keep_ear(self, said: dict[str, float]) -> None:
        folder = self._run.warm_up.run
        save_tensors(self.model.adapter_state(), folder / ADAPTER, {})
        head = {"blank": self.model.head.blank.data, "scale": self.model.head.scale.data}
        save_tensors(head, folder / HEAD, {"vocabulary": json.dumps(self._words.vocabulary)})
        write_text(folder / BEST, json.dumps(said) + "\n")

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        configs.save(self._run, Path(output_dir or self.args.output_dir) / run_folder.CONFIG)


@dataclass(frozen=True)
class HeldOut:
    """Rows of a split to read, evenly apart."""

    features: Features
    rows: list[dict[str, Any]]

    @classmethod
    def of(cls, folder: Path, split: str, count: int) -> HeldOut:
        """At most `count` transcribed clips. Raises DataError where there is none."""
        features = Features(folder, split)
        rows = transcribed(features)
        if not rows:
            raise DataError(f"{folder} holds no transcript in {split}. Build its corpus with some.")
        count = min(count, len(rows))
        return cls(features, [rows[place * len(rows) // count] for place in range(count)])


def warm_up(run: MiniRun, resume: bool = False) -> dict[str, float]:
    """Warm up a run's adapter; how well the best one reads, and of which step it is.

    Raises ConfigError, DataError, CheckpointMismatch, DivergedError; TrainingError where a disk is full.
    """
    folder = run.warm_up.run
    checkpoint = start(run, folder, MAY_CHANGE, resume)
    if checkpoint is None:
        (folder / BEST).unlink(missing_ok=True)
    if step_of(checkpoint) >= run.warm_up.schedule.steps:
        return best_of(folder) or {}
    set_seed(run.listen.seed)
    decoder = load_decoder(str(run.listen.model.decoder))
    features = Features(folder_of(run, "corpus"), "train")
    said = (row["answer"] for row in transcribed(features))
    words = SpokenWords.of(decoder.tokenizer, said, parts=run.warm_up.vary.word_parts > 0)
    clips = SpokenClips(features, words, run.listen.model.stack)
    if not len(clips):
        raise DataError(f"{run.listen.data.train} has no transcript to learn from. Build it with some.")
    LeftOut(folder, 0).write(tuple(clips.left_out))
    every = decoder.model.get_input_embeddings().weight.detach().float()
    upper = (
        Upper(load_encoder(str(run.listen.model.encoder)).model, run.tuned_layers)
        if run.tuned_layers
        else None
    )
    ear = Ear(run, clips[0].states.shape[1], every[words.vocabulary], size_of(every), upper)
    if checkpoint is None:
        begin_with(ear, shipped_tensors_of(run), lora=False)
    settings = _arguments(run)
    dtype = torch.bfloat16 if settings.bf16 else torch.float32
    trainer = WarmUpTrainer(
        run=run,
        words=words,
        held_out={
            "people": HeldOut.of(folder_of(run, "human"), "dev", run.eval_rows),
            "voices": HeldOut.of(folder_of(run, "corpus"), "dev", run.eval_rows),
        },
        model=ear,
        args=settings,
        train_dataset=VariedBatches(clips, run),
        eval_dataset=clips,
        data_collator=lambda batches: collated(batches[0]),
        callbacks=[Progress(folder, step_of(checkpoint))],
        meter=Meter(peak_flops(settings.device, dtype, run.listen.compute.peak_tflops)),
        keep=run.warm_up.every.keep,
    )
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if best_of(folder) is None:
        trainer.evaluate()
    return best_of(folder) or {}


def collated(clips: list[Spoken]) -> dict[str, Any]:
    """A batch: `states` [batch, states, d_model] padded with zeros, how many are `kept`, targets and ids."""
    return {
        STATES: pad_sequence([clip.states for clip in clips], batch_first=True),
        "kept": torch.tensor([len(clip.states) for clip in clips]),
        "targets": [clip.target for clip in clips],
        "ids": [clip.id for clip in clips],
    }


def transcribed(features: Features) -> list[dict[str, Any]]:
    """The rows whose answers are what is said, one for each clip."""
    rows = {(row["shard"], row["start"]): row for row in features.rows if row["task"] == "asr"}
    return list(rows.values())


@torch.inference_mode()
def read_wer(ear: Ear, held: HeldOut, words: SpokenWords) -> WordErrors:
    """What greedy CTC makes of held-out clips against their transcripts."""
    pairs = []
    for at in range(0, len(held.rows), READ_AT_ONCE):
        rows = held.rows[at : at + READ_AT_ONCE]
        clips = [held.features.states(row) for row in rows]
        kept = torch.tensor([len(clip) for clip in clips])
        speech = ear.embedded(pad_sequence(clips, batch_first=True), kept)
        for row, scores in zip(rows, ear.head(speech), strict=True):
            pairs.append((row["answer"], words.text(greedy(scores))))
    return word_errors(pairs, normaliser())


def size_loss(speech: Tensor, size: float) -> Tensor:
    """How far the RMS of each embedding [tokens, hidden] is from `size`, as the square of its logarithm."""
    return (
        (speech.float().pow(2).mean(-1).clamp_min(1e-12).log() / 2 - torch.tensor(size).log()).pow(2).mean()
    )


def size_of(embeddings: Tensor) -> float:
    """The mean RMS of token embeddings [vocabulary, hidden]."""
    return float(embeddings.pow(2).mean(-1).sqrt().mean())


def load_head(folder: Path, embeddings: Tensor, tokenizer: Any) -> tuple[CtcHead, SpokenWords]:
    """The head of a warm-up and its words, on the decoder's embeddings. Raises DataError."""
    try:
        with safe_open(folder / HEAD, "pt") as file:
            words = SpokenWords(tokenizer, json.loads(file.metadata()["vocabulary"]))
            head = CtcHead(embeddings[words.vocabulary])
            head.load_state_dict({name: file.get_tensor(name) for name in ("blank", "scale")})
    except OSError as error:
        raise DataError(f"{folder / HEAD} cannot be read ({error}). Run training.warm_up again.") from None
    return head.requires_grad_(False), words


def best_of(folder: Path) -> dict[str, float] | None:
    """How well the ear that a run has kept reads, and of which step it is."""
    try:
        found: dict[str, float] = json.loads((folder / BEST).read_text("utf-8"))
    except FileNotFoundError:
        return None
    return found


def save_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write a whole safetensors file or none. Raises DataError for a full disk."""
    with written_whole(path) as beside:
        save_file({name: value.contiguous() for name, value in tensors.items()}, beside, metadata)
        beside.chmod(READABLE)


def _arguments(run: MiniRun) -> TrainingArguments:
    warm = run.warm_up
    return TrainingArguments(
        **usual(warm.run, warm.optimiser, warm.schedule, warm.every, run.listen.seed) | {"use_cpu": True},
        per_device_train_batch_size=1,  # an item of the data set is a batch
        bf16=run.listen.compute.precision == "bf16",
        eval_strategy="steps",
    )


def main() -> None:
    """Warm up a config's adapter, and print how well it reads."""
    parser = argparse.ArgumentParser(
        prog="python -m training.warm_up", description="Teach the mini model's adapter to hear, by CTC."
    )
    parser.add_argument("--config", type=Path, required=True, help="the run's YAML")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="replace a setting")
    parser.add_argument("--resume", action="store_true", help="go on from the last whole checkpoint")
    options = parser.parse_args()
    run = configs.load(MiniRun, options.config, options.set)
    sys.stdout.write(json.dumps(warm_up(run, options.resume)) + "\n")


if __name__ == "__main__":
    sys.exit(run_command(main))
