"""The kit's folder: what must outlive a cut of power, written whole or not at all, for the host alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from deploy.event.settings import EventError

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # that nobody mistakes for another when they are typed
_GROUPS, _GROUP = 5, 5  # 25 letters: 124 bits
_PATIENCE_S = 15.0  # for a run before this one to end: its last children may still be at it
_LOOK_S = 0.2


class Data:
    """The folder, held by one kit at a time."""

    def __init__(self, folder: Path) -> None:
        """Make the folder and hold it. Raises EventError where it cannot be had."""
        self.folder = folder.absolute()
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.chmod(0o700)
            self.lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise EventError(
                f"The folder {self.folder} cannot be used ({error.strerror}). Name another with --data."
            ) from None
        self._hold()

    def path(self, name: str) -> Path:
        """Return where something lies in the folder."""
        return self.folder / name

    def host_key(self) -> str:
        """Return the key of the host page, made once."""
        return self._secret("host-key", _host_key)

    def visitor_secret(self) -> str:
        """Return what visitors are signed with, made once."""
        return self._secret("visitor-secret", lambda: secrets.token_urlsafe(32))

    def _secret(self, name: str, make: Callable[[], str]) -> str:
        """Return what the file holds; make it where there is none, or one that was cut off."""
        path = self.path(name)
        with contextlib.suppress(OSError, UnicodeDecodeError):
            held = path.read_text("ascii").strip()
            if len(held) >= _GROUPS * _GROUP:
                path.chmod(0o600)
                return held
        value = make()
        write(path, value.encode() + b"\n")
        return value

    def _hold(self) -> None:
        """Take the lock. Our children share it, so that it is free when the last of them has ended."""
        end = time.monotonic() + _PATIENCE_S
        while True:
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                if time.monotonic() > end:
                    raise EventError(
                        f"Another event kit runs with the folder {self.folder}. End it first, or name "
                        "another folder with --data."
                    ) from None
            time.sleep(_LOOK_S)


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Put a file in its place as a whole: after a cut of power there is the old one or the new one."""
    aside = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        aside.unlink()
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _host_key() -> str:
    groups = ("".join(secrets.choice(_LETTERS) for _ in range(_GROUP)) for _ in range(_GROUPS))
    return "-".join(groups)
