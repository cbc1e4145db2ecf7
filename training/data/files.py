"""Files that are whole or not there: written beside their place, synced, then renamed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from training.errors import DataError


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` when the block ends well.

    Raises DataError in words where the disk is full or refuses; nothing half written is left.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        _sync(beside)
        beside.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise DataError(trouble(path, error)) from error
    finally:
        with suppress(OSError):
            beside.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 file or none. Raises DataError."""
    with written_whole(path) as beside:
        beside.write_text(text, "utf-8")


def trouble(path: Path, error: OSError) -> str:
    """Why a file could not be written and what to do, in a sentence or two."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"The disk is full: {path} could not be written. What was finished before is kept. "
            "Make room and run the same command again; it goes on from there."
        )
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"{path} could not be written: {reason}. Mend that and run the command again."


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
