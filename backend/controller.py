"""Everything a request needs, put together once: registry, engines, files, cache."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import httpx

from backend import engines, registry, tracing, words
from backend.audio import Ingest
from backend.balancer import Pool
from backend.budget import Budget
from backend.cache import AnswerCache
from backend.errors import InvalidRequest, NotFound
from backend.files import FileStore
from backend.fleet import Fleet
from backend.flight import Flights
from backend.host import Host, started_over
from backend.host_key import HostKey
from backend.identity import Callers
from backend.keys import Keys
from backend.limits import Limits
from backend.metrics import Metrics
from backend.recent_errors import RecentErrors
from backend.redis_link import RedisLink
from backend.registry import Capability, Row
from backend.reload import Reload
from backend.remote_audio import RemoteAudio
from backend.settings import Settings
from backend.shared_files import SharedFiles
from backend.shared_flight import SharedFlights
from backend.status import Gauges
from backend.stores.choice import open_store
from backend.upstream import Line


class Controller:
    """The registry's models and where they run, with what is kept between requests."""

    def __init__(self, settings: Settings, engine_command: Sequence[str] = engines.EMBEDDED) -> None:
        self.settings = settings
        self.started_at = int(time.time())
        self.metrics = Metrics()
        self.metrics.add(Gauges(self))
        self.tracer = tracing.tracer(settings.otlp_endpoint)
        self.keys = Keys(settings)
        self.callers = Callers(settings, self.keys)
        self.host_key = HostKey(settings)
        self.errors = RecentErrors()
        self.remote = RemoteAudio(settings)
        self.ingest = Ingest(settings)
        self.uploads = Budget(settings.uploads_max_bytes)
        self.link = RedisLink(settings.redis_url, settings.redis_prefix) if settings.redis_url else None
        self.files = FileStore(
            settings.files_max_bytes,
            settings.files_max_age_s,
            settings.files_per_visitor,
            SharedFiles(self.link, settings.files_max_bytes) if self.link else None,
        )
        self.limits = Limits(settings, self.link)
        self.cache = AnswerCache(
            settings.cache_max_bytes, settings.cache_max_age_s, open_store(settings, self.link)
        )
        flights = Flights(settings.max_answer_bytes, self.cache.put)
        self.flights = SharedFlights(flights, self.link) if self.link else flights
        self.host = Host(settings.host_state_file, self.link, self._start_over)
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=settings.connect_timeout_s),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            headers={"Accept-Encoding": "identity"},
            trust_env=False,  # a proxy of the machine's is not for the engines beside us
        )
        self.line = Line(settings)
        self.fleet = Fleet(settings, self._client, engine_command)
        self.fleet.apply(registry.load(settings.models))
        self.reload = Reload(settings, self.fleet, self.keys)

    @property
    def rows(self) -> Mapping[str, Row]:
        """The registry as it is now; reloading replaces it as a whole."""
        return self.fleet.rows

    @property
    def pools(self) -> Mapping[str, Pool]:
        """Where each model runs now."""
        return self.fleet.pools

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start the engine and the watching; end both on leaving."""
        await self.ingest.start()
        if self.link:
            await self.link.start()
        await self.cache.start()
        beside = [asyncio.create_task(job) for job in (self.reload.run(), self.host.follow())]
        try:
            async with self.fleet.running():
                try:
                    yield
                finally:
                    await self.flights.close()  # before their engine goes
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await self.ingest.close()
            self.remote.close()
            await self._client.aclose()
            await self.line.close()
            await self.cache.close()
            await self.files.close()
            await self.tracer.close()
            if self.link:
                await self.link.close()

    def _start_over(self) -> None:
        """Leave nothing of any visitor but kept answers, which nobody finds without asking the same."""
        self.flights.end_all(started_over())
        self.files.clear()

    def row(self, model: str, capability: Capability | None = None) -> Row:
        """Return a model's row. Raises NotFound, or InvalidRequest with the reason when it cannot do that."""
        row = self.rows.get(model)
        if row is None:
            names = ", ".join(self.rows)
            raise NotFound(
                "model_not_found",
                f"There is no such model. Choose one of: {names}.{words.nearest(model, self.rows)}",
                param="model",
            )
        if capability is not None:
            said = self.capabilities(row)[capability]
            if not said.get("supported"):
                raise InvalidRequest(
                    "capability_missing",
                    str(said.get("reason") or "This model cannot do that."),
                    param="model",
                )
        return row

    def pool(self, row: Row) -> Pool:
        """Return where a model runs. Raises NotFound when it left the registry since its row was read."""
        return self.pools[self.row(row.id).id]

    def capabilities(self, row: Row) -> dict[str, dict[str, Any]]:
        """Return what a model can do: its row's word, and over it the engine's own when that is up."""
        card = row.capability_card()
        for instance in self.pools[row.id].instances:
            if instance.state == "up":
                said = instance.cards.get(row.upstream_id, {}).get("capabilities", {})
                card.update({name: dict(value) for name, value in said.items() if name in card})
        return card
