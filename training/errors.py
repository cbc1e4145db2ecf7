"""What can go wrong in words: every command prints `Error: ...` and ends with the class's exit status.

TrainingError
├── ConfigError         a run's YAML or a command's arguments (exit 2)
├── DataError           corpora, shards and manifests
├── CheckpointMismatch  a checkpoint that belongs to another config or another model
└── DivergedError       a loss that is no number any more
"""

from __future__ import annotations

import sys
from collections.abc import Callable


class TrainingError(Exception):
    """A sentence that says what happened and what to do next."""

    exit_status = 1


class ConfigError(TrainingError):
    """The config or the arguments are wrong: nothing was started."""

    exit_status = 2


class DataError(TrainingError):
    """Data that cannot be read as what it should be."""


class CheckpointMismatch(TrainingError):
    """A checkpoint that was made by another config, or for another model."""


class DivergedError(TrainingError):
    """The loss is not a number any more."""


def run(main: Callable[[], None]) -> int:
    """Call `main` and return an exit status; a TrainingError becomes one line on standard error."""
    try:
        main()
    except TrainingError as error:
        sys.stderr.write(f"Error: {error}\n")
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("Stopped. Run the same command again to go on.\n")
        return 130
    return 0
