"""Files that the host keeps for visitors who wish it: whole or not at all, and for the host's eyes only."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
_one_at_a_time = threading.Lock()


class NotKept(Exception):
    """Nothing was written: the disk is full, the folder may not be written to, or its bound is reached."""


def now() -> str:
    """Return the time for a record, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def append(file: Path, record: Mapping[str, Any], max_bytes: int) -> None:
    """Add a record to a file of JSON lines, whole or not at all. Raises NotKept."""
    line = json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    with _one_at_a_time, _told():
        _folder(file.parent)
        handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, PRIVATE_FILE)
        try:
            before = os.fstat(handle).st_size
            if before + len(line) > max_bytes:
                raise NotKept(f"{file} has reached its bound")
            try:
                _write(handle, line)
            except OSError:
                os.ftruncate(handle, before)
                raise
        finally:
            os.close(handle)


def put(folder: Path, files: Mapping[str, bytes], max_bytes: int) -> None:
    """Write files that belong together, all or none; the folder holds `max_bytes` at most. Raises NotKept."""
    with _one_at_a_time, _told():
        _folder(folder)
        held = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
        if held + sum(map(len, files.values())) > max_bytes:
            raise NotKept(f"{folder} has reached its bound")
        written: list[Path] = []
        try:
            for name, data in files.items():
                _put(folder / name, data, written)
        except OSError:
            for file in written:
                file.unlink(missing_ok=True)
            raise


def remove(folder: Path, names: list[str]) -> bool:
    """Delete files that belong together; say whether there were any. Raises NotKept where they stay."""
    with _one_at_a_time, _told():
        found = [folder / name for name in names if (folder / name).is_file()]
        for file in found:
            file.unlink()
        return bool(found)


def _put(file: Path, data: bytes, written: list[Path]) -> None:
    """Write beside the file, then rename: nobody ever sees half of one."""
    beside = file.with_name(f".{secrets.token_hex(8)}.tmp")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    try:
        try:
            _write(handle, data)
            os.fsync(handle)
        finally:
            os.close(handle)
        beside.replace(file)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    written.append(file)


def _write(handle: int, data: bytes) -> None:
    """Write all of it: a disk that fills up first takes a part, and tells only at the next try."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _folder(folder: Path) -> None:
    folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn what the system says into NotKept, for callers to tell in a sentence."""
    try:
        yield
    except OSError as error:
        raise NotKept(str(error.strerror or error)) from error
