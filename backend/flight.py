"""One upstream call for all who ask the same at the same time.

A flight is out of the table before anybody sees its end, so nobody joins one that is over or dying.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from backend.follower import Flight, Follower, Launch, Start, stopping
from backend.job import Item, Trip

Keep = Callable[[str, Sequence[Any]], None]


class Flights:
    """The answers of one controller that are on their way.

    `keep` gets every answer with a key that came to its end, in the step that takes it out of the table:
    whoever asks is given the one or the other.
    """

    def __init__(self, max_answer_bytes: int, keep: Keep) -> None:
        self._max_bytes = max_answer_bytes
        self._keep = keep
        self._running: dict[str, Flight[Any]] = {}
        self._tasks: dict[asyncio.Task[None], Flight[Any]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def join(self, key: str | None, start: Start[Item], trip: Trip, *, fresh: bool = False) -> Follower[Item]:
        """Follow the answer of this key, and start it when it is not on its way.

        With key None, or `fresh`, it is a flight of its own that nobody else joins; a fresh one is kept too.
        """
        return self.board(key, lambda _: start(()), trip, fresh=fresh)

    def board(
        self, key: str | None, launch: Launch[Item], trip: Trip, *, fresh: bool = False
    ) -> Follower[Item]:
        """As `join`, for a producer that works with the flight itself."""
        return Follower(partial(self._find, key, launch, trip, fresh))

    def _find(
        self, key: str | None, launch: Launch[Item], trip: Trip, fresh: bool
    ) -> tuple[Flight[Item], bool]:
        if key is None or fresh:
            return self._started(key, launch, trip), False
        running = self._running.get(key)
        if running is not None:
            return running, True
        flight = self._running[key] = self._started(key, launch, trip)
        return flight, False

    def _started(self, key: str | None, launch: Launch[Item], trip: Trip) -> Flight[Item]:
        flight: Flight[Item] = Flight(key, trip, self._max_bytes, self._ended)
        flight.task = asyncio.get_running_loop().create_task(flight.run(launch))
        self._tasks[flight.task] = flight
        flight.task.add_done_callback(self._tasks.__delitem__)
        return flight

    def _ended(self, flight: Flight[Any]) -> None:
        if flight.key is None:
            return
        if self._running.get(flight.key) is flight:
            del self._running[flight.key]
        if flight.whole:
            self._keep(flight.key, list(flight.items))

    def under_way(self) -> list[tuple[str, float]]:
        """Return which instance gives each answer that is not waiting, and for how many seconds."""
        now = time.monotonic()
        return [
            (flight.trip.instance, now - flight.began)
            for flight in self._tasks.values()
            if flight.trip.instance and not (flight.over or flight.queued)
        ]

    def end_all(self, error: Exception) -> None:
        """End every flight; those who follow it are told this."""
        for flight in list(self._tasks.values()):
            flight.abandon(error)

    async def close(self) -> None:
        """End every flight and wait until its engine's place is free."""
        self.end_all(stopping())
        await asyncio.gather(*self._tasks, return_exceptions=True)
