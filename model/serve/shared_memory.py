"""Segments in /dev/shm that a server's processes used: whoever is killed cannot remove their own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path("/dev/shm")  # noqa: S108 - POSIX shared memory, where Python and torch put segments


class Segments:
    """Remembers which segments some processes have mapped that were not there before them."""

    def __init__(self) -> None:
        self._before = self._all()
        self._seen: set[Path] = set()

    def look(self, pids: Iterable[int]) -> None:
        """Note what the processes have mapped now."""
        for pid in pids:
            with contextlib.suppress(OSError):  # it has ended
                for line in Path(f"/proc/{pid}/maps").read_text("utf-8", "replace").splitlines():
                    _, found, name = line.partition(f"{FOLDER}/")
                    if found:
                        self._seen.add(FOLDER / name.removesuffix(" (deleted)"))

    def remove(self) -> None:
        """Remove what is left of them, once the processes have ended."""
        for path in self._seen & self._all() - self._before:
            with contextlib.suppress(OSError):
                path.unlink()

    @staticmethod
    def _all() -> set[Path]:
        return set(FOLDER.iterdir()) if FOLDER.is_dir() else set()
