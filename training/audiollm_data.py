"""The rows of a run of stage 2: a mixture of corpora in its order, and those that it is evaluated on."""

from __future__ import annotations

import hashlib
from pathlib import Path

from training import config as configs
from training.audiollm_config import AudioLLMRun
from training.build_model import Built
from training.data.mixture import Mixture, MixtureDataset, Rows, Source
from training.examples import Examples
from training.turns import Turns


def mixture_of(run: AudioLLMRun) -> Mixture:
    """The mixture that `data.train` names; a corpus folder is one of one source. Raises ConfigError."""
    path = run.data.train
    if path.suffix in (".yaml", ".yml"):
        return Mixture.load(path)
    return Mixture(sources=(Source(corpus=path),), seed=run.seed)


def mixture_hash(mixture: Mixture) -> str:
    """What tells two mixtures apart."""
    return hashlib.sha256(configs.dump(mixture).encode()).hexdigest()[:16]


def training_rows(run: AudioLLMRun, mixture: Mixture) -> MixtureDataset:
    """Every row of the run, in order: steps x batch.size of them. Raises DataError."""
    return MixtureDataset(mixture, run.batch.size, run.schedule.steps)


def training_examples(run: AudioLLMRun, built: Built, mixture: Mixture, step: int = 0) -> Examples:
    """The run's examples from `step` on, masked by SpecAugment. Raises DataError."""
    return Examples(
        training_rows(run, mixture),
        Turns(built.processor, run.data.max_tokens),
        built.processor.feature_extractor,
        run.spec_augment,
        run.seed,
        first=step * run.batch.size,
    )


def eval_examples(run: AudioLLMRun, built: Built) -> Examples | None:
    """Held-out examples, nothing masked; None where the run has none. Raises DataError."""
    if run.data.eval is None:
        return None
    rows = Rows(Path(run.data.eval), run.data.eval_split, limit=run.data.eval_rows)
    return Examples(rows, Turns(built.processor, run.data.max_tokens), built.processor.feature_extractor)
