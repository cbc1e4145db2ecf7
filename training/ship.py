"""Write what a run trained, and no more, as a folder that the embedded engine serves without torch.

    python -m training.ship RUN DIR [--checkpoint N] [--dtype float32] [--tasks transcribe answer]

Adapter and LoRA over the packaged encoder and decoder, 10 MB in half precision, and layers of the encoder
that were tuned, 6 MB each; `training.export` writes the whole model. `model.mini` reads it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence, Set
from pathlib import Path
from string import digits
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from model.embedded.intents import Task
from model.layouts import BY_MODEL_TYPE
from model.mini.shipped import (
    CONFIG,
    DECODERS,
    ENCODERS,
    WEIGHTS,
    Generation,
    Lora,
    Measured,
    Shipped,
    packaged,
)
from training import config as configs
from training.audiollm_config import AudioLLMRun
from training.build_model import Built
from training.errors import ConfigError, TrainingError
from training.errors import run as run_command
from training.export import find, trained
from training.parts import adapter_tensors
from training.run_folder import CONFIG as RUN_CONFIG

PACKAGED = {"packaged:whisper-base": "whisper-base", "packaged:smollm2": "smollm2-135m-instruct"}
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
OWN = ("ln_speech.", "speech_audio_adapter.")
NO_REPEAT = 6  # tokens: what the published models were evaluated with


def ship(
    run: Path,
    folder: Path,
    step: int | None = None,
    dtype: str = "float16",
    title: str = "MERaLiON-Mini",
    measured: Measured | None = None,
) -> Path:
    """Write checkpoint `step` of a run (None: the last whole one) into `folder` and return it.

    Raises ConfigError where the run was not over packaged weights, trained its encoder, or has no such
    checkpoint; CheckpointMismatch where the weights under it have changed; TrainingError where the folder
    cannot be written, or a number is too large for `dtype`.
    """
    checkpoint = find(run, step)
    settings = configs.load(AudioLLMRun, checkpoint / RUN_CONFIG)
    check_shippable(settings)
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty. Name a new folder.")
    built = trained(settings, checkpoint)
    return write(folder, settings, built, dtype, title, measured or Measured())


def write(
    folder: Path, settings: AudioLLMRun, built: Built, dtype: str, title: str, measured: Measured
) -> Path:
    """Write what a run's model has of its own into `folder` and return it. Raises TrainingError."""
    config = shipped_config(settings, built, title, measured)
    own = shipped_tensors(built.model, tuned(settings))
    tensors = {name: value.to(DTYPES[dtype]).contiguous() for name, value in own.items()}
    if wide := next((name for name, value in tensors.items() if not value.isfinite().all()), None):
        raise TrainingError(f"{wide} holds numbers that {dtype} cannot. Ship it with --dtype bfloat16.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / WEIGHTS)
        (folder / CONFIG).write_text(config.model_dump_json(indent=1) + "\n", "utf-8")
    except OSError as error:
        raise TrainingError(
            f"{folder} could not be written: {error.strerror or error}. Free some space, then ship again "
            "into an empty folder."
        ) from error
    return folder


def check_shippable(settings: AudioLLMRun) -> None:
    """Raise ConfigError unless all that a run leaves as it was is in packages."""
    model = settings.model
    for key, part in (("encoder", model.encoder), ("decoder", model.decoder)):
        if part not in PACKAGED:
            raise ConfigError(
                f"model.{key} was {part or 'a whole checkpoint'}, and only what was trained over packaged "
                f"weights ({', '.join(PACKAGED)}) can be shipped without them. Use training.export."
            )
    if model.train_encoder:
        raise ConfigError("This run trained the encoder, which is 41 MB more. Use training.export.")


def shipped_config(settings: AudioLLMRun, built: Built, title: str, measured: Measured) -> Shipped:
    """What is said of a run's model."""
    layout = BY_MODEL_TYPE[built.config_json["model_type"]]
    lora, model = settings.lora, settings.model
    return Shipped(
        title=title,
        encoder=packaged(PACKAGED[str(model.encoder)], ENCODERS),
        decoder=packaged(PACKAGED[str(model.decoder)], DECODERS),
        adapter=model.adapter,
        stack=model.stack,
        tail=model.tail,
        lora=Lora.model_validate({"rank": lora.rank, "alpha": lora.alpha, "targets": lora.targets}),
        turn=layout.turn,
        generation=Generation(
            end_tokens=tuple(built.stops),
            no_repeat_ngram=layout.no_repeat_ngram or NO_REPEAT,
            may_repeat=may_repeat(built.processor.tokenizer),
        ),
        measured=measured,
    )


def may_repeat(tokenizer: Any) -> tuple[int, ...]:
    """What an answer may say again: digits of a number, and marks of who speaks, at its start and later."""
    marks = [
        tokenizer(mark, add_special_tokens=False)["input_ids"] for mark in ("<Speaker1>:", " <Speaker1>:")
    ]
    return tuple(sorted({*tokenizer.convert_tokens_to_ids(list(digits)), *marks[0], *marks[1]}))


def tuned(settings: AudioLLMRun) -> set[str]:
    """The encoder's weights that a run's warm-up tuned. Raises ConfigError where its file cannot be read."""
    path = settings.model.adapter_weights
    return {name for name in adapter_tensors(path) if name.startswith("speech_encoder.")} if path else set()


def shipped_tensors(model: nn.Module, tuned: Set[str] = frozenset()) -> dict[str, Tensor]:
    """The adapter, what of the encoder is `tuned`, and LoRA under names without peft's, in float32."""
    found: dict[str, Any] = {}
    for name, value in model.state_dict().items():
        if name.startswith(OWN) or name in tuned:
            found[name] = value.detach().cpu().float()
        elif ".lora_" in name:
            found[name.replace(".default.", ".")] = value.detach().cpu().float()
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.ship", description="Write a run's adapter and LoRA for the embedded engine."
    )
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("folder", type=Path, help="where they go: a new folder")
    parser.add_argument("--checkpoint", type=int, metavar="N", help="a step; without it the last one")
    parser.add_argument("--dtype", choices=DTYPES, default="float16")
    parser.add_argument("--title", default="MERaLiON-Mini", help="what people see")
    parser.add_argument(
        "--tasks",
        nargs="+",
        choices=[str(task) for task in Task],
        default=[str(Task.TRANSCRIBE)],
        help="what it was measured on",
    )
    parser.add_argument("--languages", nargs="+", default=["en"], metavar="CODE")
    return parser


def main(given: Sequence[str] | None = None) -> None:
    """Run the command; a TrainingError is for `training.errors.run`."""
    options = _parser().parse_args(given)
    measured = Measured(languages=tuple(options.languages), tasks=tuple(Task(task) for task in options.tasks))
    folder = ship(options.run, options.folder, options.checkpoint, options.dtype, options.title, measured)
    size = (folder / WEIGHTS).stat().st_size
    sys.stdout.write(f"{folder}: {size / 1e6:.1f} MB.\n")


if __name__ == "__main__":
    sys.exit(run_command(main))
