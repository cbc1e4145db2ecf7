"""Stage 2 of the mini model: it reads states in place of audio, and CTC is kept beside the LM's loss.

The run's folder is stage 2's, so `python -m training.export` makes a checkpoint of it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.asking import clip_of, more_questions, voices_of
from training.audiollm_config import MAY_CHANGE, AudioLLMRun
from training.audiollm_trainer import AudioLLMTrainer, begin_from
from training.batches import Batches
from training.build_model import DTYPES, Built, build
from training.ctc import CtcHead, ctc_loss
from training.devices import peak_flops
from training.distributed import arguments, processes
from training.errors import ConfigError
from training.feature_store import STATES, Features
from training.features import folder_of
from training.flops import flops_of
from training.from_shipped import begin_with, shipped_tensors_of
from training.frozen import fingerprint
from training.joining import joined_rows
from training.left_out import LeftOut
from training.meters import Meter
from training.mini_config import MiniRun
from training.mini_evaluation import Listener
from training.progress import Progress
from training.starting import start, step_of
from training.states import StateCollator, StateExamples, embedded
from training.turns import UNSCORED, Turns
from training.voice import VoiceWords, told
from training.warm_up import ADAPTER, load_head, transcribed

GLANCED_AT = 16  # rows of each set, at an evaluation on the way


class ListenTrainer(AudioLLMTrainer):
    """Trains adapter and LoRA on states."""

    control: Any
    current_gradient_accumulation_steps: int

    def __init__(
        self,
        *arguments: Any,
        head: CtcHead,
        voice: VoiceWords,
        mini: MiniRun,
        glances: dict[str, Listener],
        **kwargs: Any,
    ) -> None:
        """`glances`: what is asked at each evaluation, with the right audio and with another's."""
        super().__init__(*arguments, **kwargs)
        self._head, self._voice, self._mini, self._glances = head, voice, mini, glances

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Equation 1, rows as heavy as their tasks; CTC of the rows whose answers are transcripts; voices."""
        spoken, targets = inputs["spoken"], inputs["shift_labels"]
        embeddings, speech, counts = embedded(
            model, inputs["input_ids"], inputs[STATES], self._mini.tuned_layers
        )
        outputs = model(
            inputs_embeds=embeddings,
            attention_mask=inputs["attention_mask"],
            logits_to_keep=inputs["logits_to_keep"],
        )
        items = (targets != UNSCORED).sum() if num_items_in_batch is None else num_items_in_batch
        loss = row_losses(outputs.logits, targets) @ inputs["weights"] / items
        rows = [row for row, target in enumerate(spoken) if target]
        if rows and self._mini.ctc_weight:
            heard = ctc_loss(self._head(speech[rows]), counts[rows].tolist(), [spoken[row] for row in rows])
            loss = loss + self._mini.ctc_weight * heard / self.current_gradient_accumulation_steps
        if self._mini.voice_weight:
            said = self._voice.loss(speech, counts, inputs["told"])
            loss = loss + self._mini.voice_weight * said / self.current_gradient_accumulation_steps
        return (loss, outputs) if return_outputs else loss

    def evaluate(self, *arguments: Any, **kwargs: Any) -> dict[str, float]:
        """The loss of some held-out rows with their own audio and with another row's."""
        self.model.eval()
        found = {
            f"eval_{name}_{kind}": value
            for name, listener in self._glances.items()
            for kind, value in listener.losses(("right", "shuffled")).items()
        }
        self.log(dict(found))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
        return found


def row_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Equation 1 summed over each row: `targets` [batch, kept], `logits` [batch, kept, vocabulary]."""
    scored = targets != UNSCORED
    losses = functional.cross_entropy(logits[scored].float(), targets[scored], reduction="none")
    return torch.zeros(targets.shape, device=losses.device).masked_scatter(scored, losses).sum(1)


def stage_2(run: MiniRun) -> AudioLLMRun:
    """The run of stage 2 as its own config: it goes on from the warmed-up adapter, or from another run's."""
    tail = run.features.tail if run.features.short else None
    warm = dataclasses.replace(run.listen.model, adapter_weights=run.warm_up.run / ADAPTER, tail=tail)
    return dataclasses.replace(run.listen, model=warm)


def listen(run: MiniRun, resume: bool = False) -> Built:
    """Train a run's adapter and LoRA on the LM's loss, and return the model.

    Raises ConfigError, DataError, CheckpointMismatch, DivergedError; TrainingError where a disk is full.
    """
    config = stage_2(run)
    if processes() > 1:
        raise ConfigError("The mini model is trained by one process: start it without torchrun.")
    checkpoint = start(config, config.run, MAY_CHANGE, resume)
    built = build(config)
    if config.model.trained_weights and not checkpoint:
        begin_from(built.model, config.model.trained_weights)
    if checkpoint is None:
        begin_with(built.model, shipped_tensors_of(run), lora=True)
    trainer = trainer_of(run, config, built, step_of(checkpoint))
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.state.global_step % config.every.save:
        trainer.save_last()
    return built


def trainer_of(run: MiniRun, config: AudioLLMRun, built: Built, resumed_at: int) -> ListenTrainer:
    """All that the run needs, ready to train."""
    model, tokenizer = built.model, built.processor.tokenizer
    features = Features(folder_of(run, "corpus"), "train")
    asked = more_questions(features.rows, run.listen.data.train, "train", run.ask, config.seed)
    voices = voices_of(run.listen.data.train, "train") if run.voice_weight else {}
    names = {clip: voice.name for clip, voice in voices.items()}
    joined = joined_rows(features.rows, run.join, run.features.tail, config.seed, names)
    examples = StateExamples(
        features,
        Turns(built.processor, config.data.max_tokens),
        model.config.speech_token_index,
        config.model.stack,
        run.repeat,
        [*asked, *joined],
    )
    LeftOut(config.run, 0).write(tuple(examples.left_out))
    embeddings = model.get_input_embeddings().weight.detach()
    head, words = load_head(run.warm_up.run, embeddings, tokenizer)
    settings = arguments(config, model, use_cpu=True)  # as the warm-up: heads and states are there
    if settings.device.type == "cpu":  # a step with torch's own attention takes a third more time there
        model.text_decoder.set_attn_implementation("eager")
    count = config.schedule.steps * settings.gradient_accumulation_steps
    batches = Batches(
        examples, [row["kept"] for row in examples.rows], config.batch.per_device, count, config.seed
    )
    settings.per_device_train_batch_size = 1  # an item of the data set is a batch
    settings.ignore_data_skip = False
    settings.eval_strategy, settings.eval_steps = "steps", config.every.eval
    dtype = DTYPES[config.compute.precision]
    trainer = ListenTrainer(
        head=head,
        voice=VoiceWords(tokenizer, embeddings, float(head.scale.exp())),
        mini=run,
        glances={name: Listener.of(run, built, name, GLANCED_AT) for name in ("voices", "people")},
        model=model,
        args=settings,
        train_dataset=batches,
        eval_dataset=batches,
        data_collator=StateCollator(
            tokenizer.pad_token_id or 0,
            config.model.stack,
            words,
            {row["id"]: row["answer"] for row in [*transcribed(features), *joined] if row["task"] == "asr"},
            {row["id"]: told(voices[clip]) for row in examples.rows if (clip := clip_of(row)) in voices},
            {row["id"]: run.weigh.get(row["task"], 1.0) for row in examples.rows},
        ),
        callbacks=[Progress(config.run, resumed_at)],
        meter=Meter(peak_flops(settings.device, dtype, config.compute.peak_tflops)),
        keep=config.every.keep,
        run=config,
        base={**built.source, "frozen": fingerprint(model), "features": str(_made(run))},
        flops=dataclasses.replace(flops_of(model), window=0.0),  # nothing is encoded
    )
    return trainer


def _made(run: MiniRun) -> str:
    """How the states were made."""
    return (folder_of(run, "corpus") / "features.json").read_text("utf-8")
