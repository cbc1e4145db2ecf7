"""The mini model's run: features, the warm-up of its adapter, and stage 2 on top of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from model.geometry import STACK, WINDOW_STATES
from training.audiollm_config import AudioLLMRun, EveryConfig, OptimiserConfig, ScheduleConfig
from training.data.schema import TASKS
from training.joining import JOINED
from training.variation import VariationConfig

VOICED = ("gender", "accent")  # tasks whose answers a voice tells


@dataclass(frozen=True)
class FeaturesConfig:
    """States of the frozen encoder, in float16: of the sound and `tail` more, of some clips all 1,500.

    With `short` clips are encoded without the silence after `tail`, and the model is served so.
    """

    folder: Path
    precision: Literal["bf16", "fp32"] = "bf16"  # of the encoder's arithmetic
    tail: int = 50  # states after the sound: 1 s
    full_every: int = 8  # of the training clips one in so many is kept whole
    short: bool = False
    workers: int = 2  # processes of one thread each

    def __post_init__(self) -> None:
        if not 0 <= self.tail <= WINDOW_STATES or min(self.full_every, self.workers) < 1:
            raise ValueError("tail must be within 0 and 1,500, full_every and workers at least 1.")


@dataclass(frozen=True)
class WarmUpConfig:
    """CTC of adapter and `ln_speech` against the decoder's token embeddings; `run` is the folder it writes.

    `optimiser.encoder_lr` is for the layers that `MiniRun.tuned_layers` counts.

    Every `every.eval` steps people's clips are read by greedy CTC. The best adapter is kept, and after
    `patience` readings without a better one the warm-up ends.
    """

    run: Path
    schedule: ScheduleConfig
    batch: int = 32  # clips
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(peak_lr=1e-3))
    size_weight: float = 1.0  # of keeping each output as large as token embeddings are
    every: EveryConfig = field(default_factory=lambda: EveryConfig(log=10, eval=100, save=100, keep=1))
    patience: int = 8
    vary: VariationConfig = field(default_factory=VariationConfig)

    def __post_init__(self) -> None:
        if min(self.batch, self.patience) < 1 or self.size_weight < 0:
            raise ValueError("batch and patience must be at least 1, and size_weight at least 0.")


@dataclass(frozen=True)
class MiniRun:
    """The whole of it. `listen` is a run of stage 2 that reads states in place of audio.

    Its `data.train` is a corpus of synthetic speech, whose dev are held-out voices; `human` one of recorded
    people, whose dev decides when the warm-up ends and whose test is only measured. `report` is the page that
    the numbers are written to.
    """

    report: Path
    human: Path
    features: FeaturesConfig
    warm_up: WarmUpConfig
    listen: AudioLLMRun
    shipped: Path | None = None  # what the run goes on from, see training.from_shipped
    ctc_weight: float = 0.3  # of the CTC loss beside the language model's
    voice_weight: float = 0.0  # of what a clip's voice tells, see training.voice
    eval_rows: int = 200  # of held-out voices and of people each
    tuned_layers: int = (
        0  # the encoder's last ones, which the warm-up trains too; states are those below them
    )
    repeat: dict[str, int] = field(default_factory=dict)  # how often stage 2 hears a task's rows in an epoch
    ask: dict[str, int] = field(default_factory=dict)  # so many more questions of a task, see training.asking
    join: dict[str, int] = field(default_factory=dict)  # so many rows of a task about several clips
    weigh: dict[str, float] = field(
        default_factory=dict
    )  # a task's rows in stage 2's loss, where it is not 1

    def __post_init__(self) -> None:
        model = self.listen.model
        if model.train_encoder or model.encoder is None:
            raise ValueError("listen.model needs an encoder, and train_encoder: false: its states are kept.")
        if STACK % model.stack:
            raise ValueError(f"listen.model.stack is {model.stack}; it must be 1, 3, 5 or 15.")
        if model.adapter_weights is not None:
            raise ValueError("leave listen.model.adapter_weights out: the warm-up makes them.")
        if model.tail is not None:
            raise ValueError("leave listen.model.tail out: features.short and features.tail say it.")
        if self.shipped is not None and model.trained_weights is not None:
            raise ValueError(
                "shipped and listen.model.trained_weights both say what to go on from: leave one out."
            )
        if self.listen.spec_augment is not None:
            raise ValueError("leave listen.spec_augment out: states cannot be masked as mel frames are.")
        if self.eval_rows < 2 or min(self.ctc_weight, self.voice_weight) < 0:
            raise ValueError("eval_rows must be at least 2, ctc_weight and voice_weight at least 0.")
        if self.tuned_layers < 0:
            raise ValueError(
                "tuned_layers says how many of the encoder's last layers are trained: 0 or more."
            )
        if any(times < 1 for times in self.repeat.values()):
            raise ValueError("repeat says how often a task's rows are heard in an epoch: at least once.")
        if any(count < 1 for count in (*self.ask.values(), *self.join.values())):
            raise ValueError("ask and join say how many rows of a task there are more: at least one.")
        if any(weight < 0 for weight in self.weigh.values()):
            raise ValueError("weigh says how much a task's rows count: 0 or more.")
        for key, tasks in (("repeat", self.repeat), ("weigh", self.weigh)):
            if unknown := set(tasks) - set(TASKS):
                raise ValueError(f"{key} names {sorted(unknown)[0]}; tasks are {', '.join(TASKS)}.")
        if unknown := set(self.ask) - set(VOICED):
            raise ValueError(f"ask names {sorted(unknown)[0]}; a voice tells {', '.join(VOICED)}.")
        if unknown := set(self.join) - set(JOINED):
            raise ValueError(f"join names {sorted(unknown)[0]}; tasks to join are {', '.join(JOINED)}.")
