"""Opens the SQLite file of answers, or says whose it is: another program's file is never touched."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from backend import logs
from backend.stores import StoreError

_OURS = 0x4D45524C  # "MERL", SQLite's application_id of our files
_VERSION = 1  # of the table; a file with another one is emptied
_TABLE = (
    """CREATE TABLE answers (
        id TEXT PRIMARY KEY,
        data BLOB NOT NULL,
        kept_at REAL NOT NULL,     -- seconds since 1970
        used INTEGER NOT NULL      -- grows with every use, whatever the clock does
    )""",
    "CREATE INDEX answers_by_age ON answers (kept_at)",
    "CREATE INDEX answers_by_use ON answers (used)",
)
_MAGIC = b"SQLite format 3\0"
_ID_AT = slice(68, 72)  # where application_id stands in a file
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BUSY_OPENING_S = 2.0  # for another controller that makes the table
_BUSY_MS = 200  # for another controller that writes an answer
_JOURNAL_BYTES = 4 * 2**20


def open_answers(path: Path) -> sqlite3.Connection:
    """Open our file, or make it, for its user alone. Raises sqlite3.Error, OSError, StoreError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    if not stat.S_ISREG(path.stat().st_mode):
        raise StoreError(_advice(path, "is not a file"))
    db = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_OPENING_S)
    try:
        _prepare(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    mark = number(db, "PRAGMA application_id")
    if mark != _OURS and (mark or number(db, "SELECT count(*) FROM sqlite_master")):
        raise StoreError(_advice(path, "is another program's database"))
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}").fetchall()
    if number(db, "PRAGMA user_version") != _VERSION:  # nothing is written to a file that is ready
        _make_table(db)
    db.execute(f"PRAGMA busy_timeout = {_BUSY_MS}").fetchall()


def _make_table(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # counts only before the first table
    db.execute("PRAGMA journal_mode = WAL").fetchall()
    with transaction(db):
        if number(db, "PRAGMA user_version") == _VERSION:
            return  # another controller was faster
        db.execute("DROP TABLE IF EXISTS answers")
        for statement in _TABLE:
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {_OURS}")
        db.execute(f"PRAGMA user_version = {_VERSION}")


def is_broken(error: BaseException) -> bool:
    """Whether an error of SQLite's says that the file is not a whole database."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _BROKEN


def set_aside(path: Path) -> None:
    """Move a broken file out of the way; only ours is ever written over. Raises StoreError, OSError."""
    aside = path.with_name(path.name + ".broken")
    head = _head(path)
    if head.startswith(_MAGIC) and len(head) >= _ID_AT.stop and not _is_ours(head):
        raise StoreError(_advice(path, "is another program's database"))
    if aside.exists() and not _is_ours(_head(aside)):
        raise StoreError(_advice(path, f"cannot be read, and {aside.name} is in the way"))
    path.replace(aside)
    for journal in ("-wal", "-shm"):  # belong to the broken one, and would spoil the new one
        path.with_name(path.name + journal).unlink(missing_ok=True)
    logs.event(
        "answer file begun anew",
        level=logging.WARNING,
        reason=f"{path} was broken. It was moved to {aside}; delete that at will.",
    )


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Write all or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk may have ended it already
            db.execute("ROLLBACK")
        raise


def number(db: sqlite3.Connection, query: str) -> int:
    """Return the one number that a query gives."""
    return int(db.execute(query).fetchone()[0])


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(100)


def _is_ours(head: bytes) -> bool:
    return head.startswith(_MAGIC) and head[_ID_AT] == _OURS.to_bytes(4)


def _advice(path: Path, trouble: str) -> str:
    return (
        f"{path} {trouble}, so answers are kept in memory alone. "
        "Move it away, or set MERALION_CACHE_FILE to another path."
    )
