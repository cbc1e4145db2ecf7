"""Every engine instance and every model's pool, as the registry has them now.

A new registry is applied while answers run: an instance that both have stays as it is, a new one is watched
and starts slowly, and one that is gone gets nothing more and is forgotten when its last answer has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from backend import engines, logs
from backend.address import Address, Service
from backend.balancer import Instance, Pool
from backend.breaker import Breaker
from backend.discovery import Discovery
from backend.engines import Engine
from backend.errors import Conflict, NotFound, StartError
from backend.registry import Row
from backend.settings import Settings
from backend.watch import watch

Job = Callable[[], Coroutine[Any, Any, None]]  # begins what goes on as long as an instance is there
_LOOK_S = 0.1  # between looks whether an instance that is leaving has ended its answers
_EMBEDDED = "embedded"
_FIRST_PAUSE_S = 0.5  # before a job that failed begins again; then twice as long, and so on
_LAST_PAUSE_S = 30.0
_STEADY_S = 60.0  # one that went on for longer than this begins again soon
_UNFOUND = "No engine is found at {name} yet; the controller keeps looking."
_LOST = "The controller could not look after it, through a mistake of its own, and tries again."


@dataclass(frozen=True)
class _Wanted:
    """What a row says of an instance; the engine that we start has no `url`, nor has one not found yet."""

    url: str | None
    name: str
    weight: float
    places: int
    key: str | None
    supervised: bool = False


class Fleet:
    """Instances by address, pools by model. `rows` and `pools` are replaced as a whole, never changed."""

    def __init__(self, settings: Settings, client: httpx.AsyncClient, engine_command: Sequence[str]) -> None:
        self.rows: Mapping[str, Row] = {}
        self.pools: Mapping[str, Pool] = {}
        self._settings = settings
        self._client = client
        self._engine_command = engine_command
        self._instances: dict[str, Instance] = {}  # by address, with those that are leaving
        self._engines: dict[str, Engine] = {}  # by address, those that we start
        self._jobs: dict[str, list[asyncio.Task[None]]] = {}  # that go on as long as an instance is there
        self._farewells: dict[object, asyncio.Task[None]] = {}
        self._discovery = Discovery(
            settings.discovery_interval_s, settings.discovery_keep_s, lambda: self.apply(self.rows)
        )
        self._running = False

    def __iter__(self) -> Iterator[Instance]:
        """Go through all instances, those last that are leaving."""
        return iter(sorted(self._instances.values(), key=lambda one: one.draining))

    def apply(self, rows: Mapping[str, Row]) -> None:
        """Take `rows` in place of those before. Raises StartError, and then nothing has changed."""
        wanted = {row.id: self._all_wanted(row) for row in rows.values()}
        pools = {
            row.id: self.pools.get(row.id) or Pool(row.title, (), self._settings) for row in rows.values()
        }
        for row in rows.values():
            pools[row.id].title = row.title
            # Others may list their models in other ways, or not at all.
            pools[row.id].model = row.upstream_id if row.engine == "vllm" else ""
            for one in wanted[row.id]:
                instance = self._instance(one)
                if instance not in pools[row.id].instances:
                    pools[row.id].add(instance)
        before, self.pools, self.rows = self.pools, pools, rows
        for model, pool in before.items():
            if model not in pools:
                self._say_farewell(pool, self._close(pool))
                continue
            stay = [self._instances[_key(one)] for one in wanted[model]]
            for instance in pool.instances:
                if instance not in stay:
                    self._remove(pool, instance)
        self._discovery.follow(
            {one.host for row in rows.values() for one in row.instances if isinstance(one, Service)}
        )

    def restart(self, name: str) -> None:
        """Start an engine of ours again. Raises NotFound, or Conflict for one that others look after."""
        found = {key: one for key, one in self._instances.items() if one.name == name}
        engine = next((self._engines[key] for key in found if key in self._engines), None)
        if engine:
            engine.restart()
        elif found:
            raise Conflict(
                "restart_elsewhere",
                f"{name} was not started by this controller. Start it again on the machine where it runs; "
                "it is taken back by itself.",
            )
        else:
            raise NotFound("instance_not_found", "There is no such engine now. Look at the card again.")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch the instances, and start the engine that is ours; end both on leaving."""
        self._running = True
        for key in self._instances:
            self._begin(key)
        try:
            async with self._discovery.running():
                yield
        finally:
            self._running = False
            tasks = [task for jobs in self._jobs.values() for task in jobs]
            await _end([*tasks, *self._farewells.values()])

    def _all_wanted(self, row: Row) -> list[_Wanted]:
        """Return where a row's model runs now; of one place that it names twice, what it says first."""
        if not row.instances:
            places = row.places or engines.places()
            return [_Wanted(None, _EMBEDDED, 1.0, places, None, supervised=True)]
        wanted: dict[str, _Wanted] = {}
        for listed in row.instances:
            for one in self._found(listed):
                place = self._wanted(row, one)
                wanted.setdefault(_key(place), place)
        return list(wanted.values())

    def _found(self, listed: Address | Service) -> Sequence[Address | Service]:
        """Return the addresses of what a row lists; a name that has none stands for the engines to come."""
        if isinstance(listed, Address):
            return (listed,)
        return [listed.at(ip) for ip in self._discovery.addresses(listed.host)] or (listed,)

    def _wanted(self, row: Row, address: Address | Service) -> _Wanted:
        places = self._settings.places
        key = os.environ.get(row.api_key_env) if row.api_key_env else None
        if row.api_key_env and not key:
            raise StartError(
                f"{self._settings.models}, row [{row.id}]: `api_key_env` names {row.api_key_env}, and the "
                "environment does not set it. Set it and start again."
            )
        return _Wanted(
            address.url if isinstance(address, Address) else None,
            address.name,
            address.weight,
            row.places_at(address) or places,
            key,
        )

    def _instance(self, wanted: _Wanted) -> Instance:
        """Return the instance at an address, made when it is new, with what the registry says of it now."""
        key = _key(wanted)
        instance = self._instances.get(key)
        if instance is None:
            instance = self._instances[key] = Instance(
                wanted.name,
                wanted.url,
                supervised=wanted.supervised,
                slow_start_s=self._settings.slow_start_s,
                breaker=Breaker(self._settings.breaker_failures, self._settings.breaker_open_s),
            )
            if wanted.url is None and not wanted.supervised:
                instance.set("starting", _UNFOUND.format(name=wanted.name))
            if self._running:
                self._begin(key)
        instance.weight, instance.places = wanted.weight, wanted.places
        instance.headers = {"Authorization": f"Bearer {wanted.key}"} if wanted.key else {}
        instance.tell()  # there may be more places than before
        return instance

    def _begin(self, key: str) -> None:
        instance = self._instances[key]
        jobs: list[Job] = [lambda: watch(instance, self._client, self._settings.probe_interval_s)]
        if instance.supervised:
            engine = self._engines[key] = Engine(self._engine_command, instance)
            jobs.append(engine.run)
        self._jobs[key] = [asyncio.create_task(keep_going(job, instance)) for job in jobs]

    async def _close(self, pool: Pool) -> None:
        """Let those who wait for a model that is gone have their turn, as long as the queue's deadline."""
        await _until(lambda: not pool.waiting)
        for instance in pool.instances:
            self._remove(pool, instance)

    def _remove(self, pool: Pool, instance: Instance) -> None:
        pool.remove(instance)
        if instance.draining:
            self._say_farewell(instance, self._see_off(instance))

    async def _see_off(self, instance: Instance) -> None:
        """Forget an instance once its last answer has ended, unless the registry takes it in again."""
        await _until(lambda: not (instance.draining and instance.busy))
        if instance.draining:
            key = next(key for key, one in self._instances.items() if one is instance)
            del self._instances[key]
            await _end(self._jobs.pop(key, ()))

    def _say_farewell(self, whom: object, farewell: Coroutine[Any, Any, None]) -> None:
        under_way = self._farewells.get(whom)
        if under_way and not under_way.done():
            farewell.close()
            return
        self._farewells = {one: task for one, task in self._farewells.items() if not task.done()}
        self._farewells[whom] = asyncio.create_task(farewell)


async def keep_going(job: Job, instance: Instance) -> None:
    """Begin a job again whenever it ends, which is a mistake of ours, after longer and longer pauses.

    Until it does its work again nothing is known of the instance, so that nothing is sent there.
    """
    pause_s = _FIRST_PAUSE_S
    while True:
        began = time.monotonic()
        try:
            await job()
        except Exception as error:
            cause = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
            reason = logs.where(cause)
            logs.event("internal error", level=logging.ERROR, instance=instance.name, reason=reason)
        with contextlib.suppress(Exception):  # the mistake may be in whoever hears of it
            instance.set("starting" if instance.supervised else "down", _LOST)
        pause_s = _FIRST_PAUSE_S if time.monotonic() - began > _STEADY_S else pause_s
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LAST_PAUSE_S)


def _key(wanted: _Wanted) -> str:
    return wanted.url or wanted.name


async def _until(met: Callable[[], bool]) -> None:
    while not met():  # noqa: ASYNC110 - rare, and so nobody has to tell
        await asyncio.sleep(_LOOK_S)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
