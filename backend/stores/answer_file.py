"""The SQLite file of sealed answers, used by one thread: bounded, and begun anew when it is found broken."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from backend.stores import StoreError
from backend.stores.opening import is_broken, number, open_answers, set_aside, transaction

_SKEW_S = 300.0  # a later time than this from now was written by a clock that was wrong
_PAUSE_S = 10.0  # between attempts at a file that cannot be opened
_MAX_EVICTED = 512  # rows at a time, so that a reader never waits long; the next write goes on

T = TypeVar("T")


class AnswerFile:
    """Sealed answers by row id, at most `max_bytes` of file (and a few MB of journal) and `max_age_s` old.

    Several controllers may use one file; whoever finds it gone or replaced opens it again.
    """

    def __init__(
        self, path: Path, max_bytes: int, max_age_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = path.absolute()
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._clock = clock
        self._db: sqlite3.Connection | None = None
        self._opened_file: tuple[int, int] | None = None
        self._closed_until = 0.0
        self._why_closed = ""

    def open(self) -> None:
        """Open or make the file. Raises StoreError."""
        self._do(lambda db: None)

    def get(self, row: str) -> bytes | None:
        """Return what was put there and is not too old. Raises StoreError."""
        query = "SELECT data FROM answers WHERE id = ? AND kept_at BETWEEN ? AND ?"
        found = self._do(lambda db: db.execute(query, (row, *self._ages())).fetchone())
        return bytes(found[0]) if found else None

    def touch(self, row: str) -> None:
        """Note that a row was used; where nothing can be written, nothing is noted."""
        query = "UPDATE answers SET used = (SELECT max(used) + 1 FROM answers) WHERE id = ?"
        with contextlib.suppress(StoreError):
            self._do(lambda db: db.execute(query, (row,)))

    def put(self, row: str, data: bytes) -> bool:
        """Keep it, unless it is too large, and drop what is too old or was used longest ago.

        Returns whether it was kept. Raises StoreError.
        """
        if len(data) > self._max_bytes // 2:
            return False
        query = (
            "INSERT OR REPLACE INTO answers "
            "VALUES (?, ?, ?, (SELECT coalesce(max(used), 0) + 1 FROM answers))"
        )

        def write(db: sqlite3.Connection) -> None:
            with transaction(db):
                db.execute(query, (row, data, self._clock()))
                self._make_room(db)
            db.executescript("PRAGMA incremental_vacuum(64)")  # pages; execute() would free one alone

        self._do(write)
        return True

    def drop(self, row: str) -> None:
        """Forget it. Raises StoreError."""
        self._do(lambda db: db.execute("DELETE FROM answers WHERE id = ?", (row,)))

    def close(self) -> None:
        """Close the file, which writes its journal back."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            try:
                return work(self._opened())
            except sqlite3.DatabaseError as error:
                if not is_broken(error):
                    raise
                self.close()
                set_aside(self._path)
                return work(self._opened())
        except (sqlite3.Error, OSError) as error:
            raise StoreError(self._trouble(error)) from error

    def _opened(self) -> sqlite3.Connection:
        if self._db is not None and self._opened_file == _identity(self._path):
            return self._db
        self.close()
        if time.monotonic() < self._closed_until:
            raise StoreError(self._why_closed)
        try:
            self._db = open_answers(self._path)
        except (sqlite3.Error, OSError, StoreError) as error:
            if not is_broken(error):
                self._closed_until = time.monotonic() + _PAUSE_S
                self._why_closed = self._trouble(error)
            raise
        self._opened_file = _identity(self._path)
        return self._db

    def _make_room(self, db: sqlite3.Connection) -> None:
        db.execute(
            "DELETE FROM answers WHERE id IN "
            "(SELECT id FROM answers WHERE kept_at < ? OR kept_at > ? LIMIT ?)",
            (*self._ages(), _MAX_EVICTED),
        )
        page = number(db, "PRAGMA page_size")
        for _ in range(_MAX_EVICTED):
            held = number(db, "PRAGMA page_count") - number(db, "PRAGMA freelist_count")
            if held * page <= self._max_bytes:
                return
            db.execute("DELETE FROM answers WHERE id = (SELECT id FROM answers ORDER BY used LIMIT 1)")

    def _trouble(self, error: Exception) -> str:
        if isinstance(error, StoreError):
            return str(error)
        return f"{self._path}: {error}. Answers are kept in memory alone."

    def _ages(self) -> tuple[float, float]:
        now = self._clock()
        return now - self._max_age_s, now + _SKEW_S


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
