"""The mini model from its corpora to its numbers: features, warm-up, stage 2, evaluation, in one command.

    python -m training.data.synthesise --config training/configs/synthesise_mini.yaml
    python -m training.data.synthesise --human corpora/human
    python -m training.mini --config training/configs/mini.yaml    # at most an hour on two cores
    python -m training.export runs/mini checkpoints/mini

With --resume a run that was stopped goes on where it was; what is finished is not done again. The last step
writes the page that `report` names.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training import config as configs
from training import features, run_folder
from training.audiollm_config import MAY_CHANGE
from training.audiollm_trainer import WEIGHTS, load_trainable
from training.build_model import Built, build
from training.data.files import write_text
from training.errors import DataError
from training.errors import run as run_command
from training.from_shipped import shipped_tensors_of
from training.listen import listen, stage_2
from training.mini_config import MiniRun
from training.mini_evaluation import SPLITS, Listener, Reading
from training.mini_report import page
from training.warm_up import best_of, warm_up
from training.wer import normaliser, word_errors

EXAMPLES = 5  # on the page
ONE_ANSWER = ("gender", "accent", "rate", "speakers", "speech", "sqa")  # tasks
DONE = "mini.json"  # in stage 2's folder: what each finished step found, and its seconds
WHOLE = "mini.yaml"  # beside it: the settings of all steps
MAY_GO_ON_WITH = (  # settings that change nothing of what a step has found
    *("report", "eval_rows", "features.folder", "features.workers"),
    *("warm_up.run", "warm_up.every", "warm_up.patience", "listen.run", "listen.every"),
)


class Steps:
    """Steps with what they found; a finished one is not done again, and the time of a broken one is kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}

    def do(self, name: str, work: Callable[[], Any]) -> Any:
        """Do a step unless it is done; what it found."""
        step = self.found.setdefault(name, {"seconds": 0.0})
        if "found" not in step:
            began = time.monotonic()
            before = step["seconds"]
            try:
                step["found"] = work()
            finally:
                step["seconds"] = round(before + time.monotonic() - began, 1)
                write_text(self._path, json.dumps(self.found, indent=1) + "\n")
        return step["found"]


def mini(run: MiniRun, resume: bool = False) -> dict[str, Any]:
    """Do a run's steps and write its page; what they found.

    Raises ConfigError, DataError, CheckpointMismatch, DivergedError; TrainingError where a disk is full.
    """
    if not resume:
        run_folder.check_empty(run.listen.run)
        run_folder.check_empty(run.warm_up.run)
    elif (run.listen.run / WHOLE).is_file():  # a finished step is not done again, so it must be the same one
        run_folder.check_same(run, run.listen.run, MAY_GO_ON_WITH, WHOLE)
    if run.listen.model.trained_weights and not run_folder.checkpoints(run.listen.run):
        run_folder.check_trained(run.listen.model.trained_weights)  # now, and not hours later
    if not run_folder.checkpoints(run.warm_up.run):
        shipped_tensors_of(run)
    configs.save(run, run.listen.run / WHOLE)
    steps = Steps(run.listen.run / DONE) if resume else Steps(_fresh(run.listen.run / DONE))
    steps.do("features", lambda: features.of_run(run))
    steps.do("warm_up", lambda: warm_up(run, resume))
    steps.do("listen", lambda: _trained(run, resume))
    steps.do("evaluation", lambda: evaluate(run))
    write_text(run.report, page(run, steps.found))
    return steps.found


def evaluate(run: MiniRun) -> dict[str, Any]:
    """The losses and WER of a trained run, on voices that it has not heard and on people."""
    built = trained(run)
    found: dict[str, Any] = {}
    for name in SPLITS:
        every = Listener.of(run, built, name, run.eval_rows)
        spoken = Listener.of(run, built, name, run.eval_rows, "asr")
        read = spoken.read()
        found[name] = {
            "rows": len(every.rows),
            "losses": every.losses(),
            "wer": {source: _said(read, source) for source in sorted({each.source for each in read})},
            "answers": {
                task: _answered(run, built, name, task) for task in ONE_ANSWER if task in every.tasks
            },
            "examples": [(each.said, each.written) for each in read[:: max(1, len(read) // EXAMPLES)]],
        }
    return found


def _answered(run: MiniRun, built: Built, name: str, task: str) -> dict[str, float]:
    """How often a task's one right answer was given, word by word."""
    same = normaliser()
    read = Listener.of(run, built, name, run.eval_rows, task).read()
    right = sum(same(each.said) == same(each.written) for each in read)
    return {"right": right, "asked": len(read)}


def _said(read: list[Reading], source: str) -> dict[str, float]:
    """How well a source's clips were read."""
    own = [(each.said, each.written) for each in read if each.source == source]
    errors = word_errors(own, normaliser())
    return {"rate": errors.rate, "words": errors.words, "clips": len(own)}


def trained(run: MiniRun) -> Built:
    """The model of a run's last whole checkpoint, ready to be asked. Raises DataError, CheckpointMismatch."""
    config = stage_2(run)
    built = build(config)
    checkpoint, _ = run_folder.to_resume(config.run)
    if checkpoint is None:
        raise DataError(f"{config.run} holds no whole checkpoint. Go on with it: add --resume.")
    run_folder.check_same(config, checkpoint, MAY_CHANGE)
    load_trainable(built.model, checkpoint / WEIGHTS)
    built.model.eval()
    return built


def _trained(run: MiniRun, resume: bool) -> dict[str, Any]:
    listen(run, resume)
    return {"steps": run.listen.schedule.steps}


def _fresh(path: Path) -> Path:
    path.unlink(missing_ok=True)
    return path


def main() -> None:
    """Do the steps of a config's run, and print what they found."""
    parser = argparse.ArgumentParser(
        prog="python -m training.mini", description="Train the mini model and measure it."
    )
    parser.add_argument("--config", type=Path, required=True, help="the run's YAML")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="replace a setting")
    parser.add_argument("--resume", action="store_true", help="go on with what is not finished")
    options = parser.parse_args()
    run = configs.load(MiniRun, options.config, options.set)
    found = mini(run, options.resume)
    sys.stdout.write(json.dumps({name: step["seconds"] for name, step in found.items()}) + "\n")
    sys.stderr.write(f"The numbers are in {run.report}; the adapter's best: {best_of(run.warm_up.run)}.\n")


if __name__ == "__main__":
    sys.exit(run_command(main))
