"""Takes in a changed registry or file of keys while answers run; the settings stay as they were at the start.

The files are looked at now and then, and at once on SIGHUP. One that is broken changes nothing: the one
before stays in force, and `/v1/status` says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from backend import logs, registry
from backend.errors import StartError
from backend.fleet import Fleet
from backend.keys import Keys
from backend.settings import Settings

_SETTLE_S = 0.1  # a file that changes within this time is still being written
# What tells one state of a file from the next; None where there is no file, or it must be read again.
State = tuple[int, int, int] | None


@dataclass
class _File:
    """A file that may change, how it is read, its state when that was done, and why it is not in force."""

    what: str
    path: Path
    read: Callable[[], Awaitable[bool]]
    seen: State = None
    error: str = ""


class Reload:
    """Keeps registry and keys as their files say."""

    def __init__(self, settings: Settings, fleet: Fleet, keys: Keys) -> None:
        """Take both as they were read a moment ago."""
        self.loaded_at = int(time.time())
        self._interval_s = settings.reload_interval_s
        self._fleet = fleet
        self._keys = keys
        self._files = [_File("registry", settings.models, self._reread_registry, _state(settings.models))]
        if settings.api_keys_file:  # read once more at the first look: a key may have gone in between
            self._files.insert(0, _File("keys", settings.api_keys_file, self._reread_keys))
        self._models = settings.models
        self._hup = asyncio.Event()

    @property
    def error(self) -> str:
        """Why the newest files are not in force, empty when they are."""
        return " ".join(file.error for file in self._files if file.error)

    async def run(self) -> None:
        """Look at the files until cancelled."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(RuntimeError, ValueError, NotImplementedError):  # not in the main thread
            loop.add_signal_handler(signal.SIGHUP, self._hup.set)
        while True:
            asked = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s or None):
                    asked = await self._hup.wait()
            self._hup.clear()
            try:
                await self.look(anew=asked)
            except Exception as error:
                logs.event("internal error", level=logging.ERROR, reason=logs.where(error))

    async def look(self, *, anew: bool = False) -> None:
        """Take in what has changed; `anew` reads all, though it seems not to have."""
        for file in self._files:
            state = await asyncio.to_thread(_state, file.path)
            if state == file.seen and not anew:
                continue
            await asyncio.sleep(_SETTLE_S)
            if await asyncio.to_thread(_state, file.path) == state:
                file.seen = state
                await self._try(file)

    async def _reread_keys(self) -> bool:
        return await asyncio.to_thread(self._keys.reread)

    async def _reread_registry(self) -> bool:
        self._fleet.apply(await asyncio.to_thread(registry.load, self._models))
        return True

    async def _try(self, file: _File) -> None:
        try:
            changed = await file.read()
        except StartError as error:
            if str(error) != file.error:
                logs.event(f"{file.what} refused", level=logging.ERROR, reason=str(error))
            file.error = str(error)
            file.seen = None  # what it lacked may come without a change: a permission
            return
        file.error = ""
        if changed:
            self.loaded_at = int(time.time())
            logs.event(
                f"{file.what} loaded", count=len(self._fleet.rows) if file.what == "registry" else None
            )


def _state(file: Path) -> State:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
