"""What a run of stage 2 would be, as one line of JSON: nothing is trained; with `sizes` nothing is loaded."""

from __future__ import annotations

from typing import Any

from training.audiollm_config import AudioLLMRun
from training.audiollm_data import mixture_of, training_rows
from training.build_model import build, on_meta
from training.distributed import accumulated, processes
from training.errors import ConfigError, DataError
from training.flops import flops_of
from training.parameters import counts

USUAL_WORDS, USUAL_ANSWER = (
    40,
    30,
)  # tokens around the audio and of the answer, to name a cost before there is data


def dry_run(run: AudioLLMRun) -> dict[str, Any]:
    """Parameters by part, tokens, steps and cost. Raises ConfigError."""
    model = on_meta(run, run.model.sizes) if run.model.sizes else build(run).model
    audio = model.config.window_tokens
    tokens = audio + USUAL_WORDS + USUAL_ANSWER
    flops = flops_of(model).of_batch(1, (tokens,), (USUAL_ANSWER,))
    samples = run.batch.size * run.schedule.steps
    world = processes()
    return {
        **counts(model),
        "tokens_per_sample": {"audio": audio, "with_words_about": tokens, "at_most": run.data.max_tokens},
        "tflop_per_sample": round(flops / 1e12, 3),
        "steps": run.schedule.steps,
        "samples": samples,
        "batch": {
            "size": run.batch.size,
            "per_device": run.batch.per_device,
            "processes": world,
            "accumulated": accumulated(run.batch, world),
        },
        "exaflop": round(flops * samples / 1e18, 3),
        "mixture": _mixture(run),
    }


def _mixture(run: AudioLLMRun) -> list[dict[str, Any]] | str:
    """What the run hears of each source, or why that cannot be said yet."""
    try:
        return training_rows(run, mixture_of(run)).describe()
    except (ConfigError, DataError) as error:
        return str(error)
