"""What the host of an event has decided: whether the demo is paused, and when all last started over.

It outlives a restart where `host_state_file` names a file. Controllers of one Redis hold to the same: each
looks there every second, takes what is newer, and tells what it knows better.

    PREFIX host   {"paused": ..., "paused_at": ..., "epoch": ...}
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backend import logs
from backend.errors import StartError, Unavailable
from backend.redis_link import RedisAway, RedisLink

_LOOK_S = 1.0
_MOST_BYTES = 1_000  # of what is kept


@dataclass(frozen=True)
class Decisions:
    """Times are milliseconds since 1970. Of two words about pausing the later counts; an epoch only grows."""

    paused: bool = False
    paused_at: int = 0
    epoch: int = 0

    def merged(self, other: Decisions) -> Decisions:
        """Return the newest of both."""
        later = max(self, other, key=lambda one: (one.paused_at, one.paused))
        return Decisions(later.paused, later.paused_at, max(self.epoch, other.epoch))


class Host:
    """The host's decisions; `over` is called, on whichever controller, when all are to start over."""

    def __init__(
        self,
        file: Path | None,
        link: RedisLink | None,
        over: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Read what was decided before. Raises StartError where the file's folder cannot be had."""
        self._file = file
        self._link = link
        self._over = over
        self._clock = clock
        self.decisions = _read(file)

    @property
    def paused(self) -> bool:
        """Whether new questions are refused."""
        return self.decisions.paused

    @property
    def epoch(self) -> int:
        """What changes when all start over; it only grows."""
        return self.decisions.epoch

    def admit(self) -> int:
        """Return the epoch in which a question begins. Raises Unavailable while the demo is paused."""
        if self.paused:
            raise Unavailable(
                "paused",
                "The host has paused the demo for a moment. Your page stays as it is; ask again soon.",
                headers={"Retry-After": "10"},
            )
        return self.epoch

    def check(self, epoch: int) -> None:
        """Raise Unavailable when all have started over since `epoch`."""
        if epoch != self.epoch:
            raise started_over()

    async def pause(self, paused: bool) -> None:
        """Refuse new questions from now on, or take them again."""
        await self._decide(Decisions(paused, max(self._now(), self.decisions.paused_at + 1), self.epoch))

    async def start_over(self) -> None:
        """Begin a new epoch: nothing of any visitor is left."""
        before = self.decisions
        await self._decide(Decisions(before.paused, before.paused_at, max(self._now(), before.epoch + 1)))

    async def follow(self) -> None:
        """Hold to what other controllers' hosts decide, for ever."""
        while self._link:
            with contextlib.suppress(RedisAway):
                await self._exchange(self._link)
            await asyncio.sleep(_LOOK_S)

    async def _decide(self, decisions: Decisions) -> None:
        self._take(decisions)
        if self._link:
            with contextlib.suppress(RedisAway):  # it is told when Redis is back
                await self._exchange(self._link)

    async def _exchange(self, link: RedisLink) -> None:
        if not link.up:
            raise RedisAway
        name = f"{link.prefix}host"
        with link.guard():
            told = _parsed(await link.client.getrange(name, 0, _MOST_BYTES))
            self._take(self.decisions.merged(told))
            if self.decisions != told:
                await link.client.set(name, json.dumps(asdict(self.decisions)))

    def _take(self, decisions: Decisions) -> None:
        before, self.decisions = self.decisions, decisions
        if decisions == before:
            return
        if self._file:
            _write(self._file, decisions)
        if decisions.epoch > before.epoch:
            logs.event("started over")
            self._over()
        if decisions.paused != before.paused:
            logs.event("paused" if decisions.paused else "not paused")

    def _now(self) -> int:
        return round(1_000 * self._clock())


def started_over() -> Unavailable:
    """Return what is told to those whose answer is ended."""
    return Unavailable("started_over", "The host has started the demo over for all. Begin anew.")


def _read(file: Path | None) -> Decisions:
    """Read what was kept; nothing where there is no file, or one that was cut off."""
    if file is None:
        return Decisions()
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return _parsed(file.read_bytes()[:_MOST_BYTES]) if file.exists() else Decisions()
    except OSError as error:
        raise StartError(
            f"MERALION_HOST_STATE_FILE names {file}, which cannot be used ({error.strerror}). "
            "Name another file, or unset it."
        ) from None


def _write(file: Path, decisions: Decisions) -> None:
    """Replace the file as a whole; a disk that is full costs no more than the memory of it."""
    aside = file.with_name(file.name + ".new")
    try:
        with aside.open("w", encoding="utf-8") as out:
            out.write(json.dumps(asdict(decisions)))
            out.flush()
            os.fsync(out.fileno())
        aside.replace(file)
    except OSError as error:
        logs.event("host's decisions not kept", level=logging.WARNING, reason=error.strerror)


def _parsed(said: bytes | str) -> Decisions:
    """Read what was written here; nothing for what makes no sense."""
    try:
        fields: dict[str, Any] = json.loads(said)
        return Decisions(bool(fields["paused"]), int(fields["paused_at"]), int(fields["epoch"]))
    except (ValueError, KeyError, TypeError):
        return Decisions()
