"""A file of lines that only grows: written through at once, on the disk within a second, whole after a kill.

A line is written in one go, so what was appended survives the end of the process however it comes. Where a
kill or a full disk left half a line, it is cut off when the file is opened again. A reserve beside the file
is given up when the disk is full, so that the lines in hand still fit.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from types import TracebackType

from evaluation.errors import RunError

RESERVE = ".reserve"
_RESERVED = 2**20  # bytes: an answer of the longest for each of a dozen requests
_SYNC_S = 1.0


class Journal:
    """Appends lines to a file. Use with `with`; one writer, which the folder's lock sees to."""

    def __init__(self, path: Path) -> None:
        """Raises RunError."""
        self.path = path
        self._reserve = path.with_name(RESERVE)
        try:
            _hold(self._reserve)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            self._end = _whole_lines(self._file)
            os.ftruncate(self._file, self._end)
        except OSError as error:
            self._reserve.unlink(missing_ok=True)
            raise _words(path, error) from None
        self._synced = time.monotonic()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reserve.unlink(missing_ok=True)
        try:
            os.fsync(self._file)
        except OSError as failed:
            if error is None:
                raise _words(self.path, failed) from None
        finally:
            os.close(self._file)

    def append(self, line: bytes) -> None:
        """Keep a line. Without room it goes into the reserve, and RunError is raised all the same."""
        try:
            self._write(line)
        except OSError as error:
            os.ftruncate(self._file, self._end)
            if error.errno in (errno.ENOSPC, errno.EDQUOT) and self._reserve.exists():
                self._reserve.unlink()
                self._write(line)
            raise _words(self.path, error) from None

    def _write(self, line: bytes) -> None:
        left = memoryview(line)
        while left:
            left = left[os.write(self._file, left) :]
        self._end += len(line)
        if time.monotonic() - self._synced >= _SYNC_S:
            os.fsync(self._file)
            self._synced = time.monotonic()


def _whole_lines(file: int) -> int:
    """Where the last whole line ends, in bytes, read from the end."""
    end = os.lseek(file, 0, os.SEEK_END)
    while end:
        start = max(0, end - 65_536)
        found = os.pread(file, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _hold(reserve: Path) -> None:
    """Take room on the disk for later."""
    with reserve.open("wb") as file:
        file.write(os.urandom(_RESERVED))  # not zeros, which some file systems keep as a hole
        file.flush()
        os.fsync(file.fileno())


def _words(path: Path, error: OSError) -> RunError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return RunError(
            f"There is no more room for {path} ({error.strerror}). All that was answered is kept. Make room, "
            "and give the same command again to go on."
        )
    return RunError(f"{path} cannot be written ({error.strerror}). Choose another folder with --out.")
