"""A run's folder, OUT/<system>/<dataset>/: one run at a time, and always the same one.

run.json       what was asked, of whom, and how far it came
answers.jsonl  an answer a line; judgements.jsonl a judge's reply a line
scores.jsonl, result.json    made from these by `score`
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evaluation.errors import RunError

RUN, LOCK = "run.json", ".lock"


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep the folder to oneself; the hold ends with the process, however that ends. Raises RunError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise RunError(f"{folder} cannot be written ({error.strerror}). Choose another with --out.") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(lock, 200, 0).decode("utf-8", "replace").strip() or "another process"
            raise RunError(
                f"{folder} is in use by {holder}. Wait until it has ended, end it, or choose another --out."
            ) from None
        with contextlib.suppress(OSError):  # who holds it is only for people; a full disk is said elsewhere
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        os.close(lock)


def read(folder: Path) -> dict[str, Any]:
    """What run.json says; nothing where there is none. Raises RunError."""
    path = folder / RUN
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}). Move the folder away to begin anew.") from None
    if not isinstance(found, dict) or not isinstance(found.get("asked"), dict):
        raise RunError(f"{path} is not of this program. Choose another folder with --out.")
    return found


def check_same(folder: Path, asked: Mapping[str, Any], limit: int | None) -> None:
    """Raise RunError where the folder holds a run that asked something else, naming what differs.

    A run may be made longer, since the clips of a smaller limit are among those of a larger one, but not
    shorter.
    """
    run = read(folder)
    if not run:
        return
    before, now = _flat(run["asked"]), _flat(json.loads(json.dumps(asked)))
    if limit is not None and limit < (run.get("limit") or math.inf):
        before["limit"], now["limit"] = run.get("limit") or "none", limit
    differ = [
        f"{key} was {_short(before.get(key))} and is {_short(now.get(key))}"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
    ]
    if differ:
        raise RunError(
            f"{folder} holds a run that asked something else: {'; '.join(differ)}. Put these back, or choose "
            "another --out."
        )


def replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. Raises RunError."""
    half = path.with_name(f".{path.name}.half")
    try:
        with half.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise RunError(f"{path} cannot be written ({error.strerror}). Make room, and try again.") from None


def write(folder: Path, run: Mapping[str, Any]) -> None:
    """Keep what run.json says. Raises RunError."""
    replace(folder / RUN, json.dumps(run, ensure_ascii=False, indent=1).encode() + b"\n")


def _flat(values: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{at}{key}.") if isinstance(value, Mapping) else {f"{at}{key}": value}
    return found


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:80]}…"
