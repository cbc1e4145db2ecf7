"""Everything a request needs, put together once: registry, engines, files, cache."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx

from backend import engines, registry, words
from backend.audio import Ingest
from backend.balancer import Instance, Pool
from backend.budget import Budget
from backend.cache import AnswerCache
from backend.engines import Engine
from backend.errors import InvalidRequest, NotFound, StartError
from backend.files import FileStore
from backend.registry import Capability, Row
from backend.settings import Settings
from backend.upstream import Line
from backend.watch import watch


class Controller:
    """The registry's models and where they run, with what is kept between requests."""

    def __init__(self, settings: Settings, engine_command: Sequence[str] = engines.EMBEDDED) -> None:
        self.settings = settings
        self.rows = registry.load(settings.models)
        self.started_at = int(time.time())
        self.ingest = Ingest(settings)
        self.files = FileStore(settings.files_max_bytes, settings.files_max_age_s, settings.files_per_visitor)
        self.uploads = Budget(settings.uploads_max_bytes)
        self.cache = AnswerCache(settings.cache_max_bytes, settings.cache_max_age_s)
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=settings.connect_timeout_s),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            headers={"Accept-Encoding": "identity"},
            trust_env=False,  # a proxy of the machine's is not for the engines beside us
        )
        self.line = Line(self._client, settings)
        own = any(row.engine == "embedded" and not row.instances for row in self.rows.values())
        self._engine = Engine(engine_command) if own else None
        self.pools = {
            row.id: Pool(row.title, self._instances(row), settings.start_wait_s) for row in self.rows.values()
        }

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start the engine and the watching; end both on leaving."""
        instances = {one for pool in self.pools.values() for one in pool.instances}
        jobs = [watch(one, self._client, self.settings.probe_interval_s) for one in instances]
        if self._engine:
            jobs.append(self._engine.run())
        tasks = [asyncio.create_task(job) for job in jobs]
        await self.ingest.start()
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.ingest.close()
            await self._client.aclose()

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

    def capabilities(self, row: Row) -> dict[str, dict[str, Any]]:
        """Return what a model can do: its row's word, and over it the engine's own when that is up."""
        card = row.capability_card()
        for instance in self.pools[row.id].instances:
            if instance.state == "up":
                said = instance.cards.get(row.upstream_id, {}).get("capabilities")
                if isinstance(said, Mapping):
                    card.update({name: dict(value) for name, value in said.items() if name in card})
        return card

    def _instances(self, row: Row) -> list[Instance]:
        if not row.instances:
            assert self._engine is not None
            return [self._engine.instance]
        key = os.environ.get(row.api_key_env) if row.api_key_env else None
        if row.api_key_env and not key:
            raise StartError(
                f"{self.settings.models}, row [{row.id}]: `api_key_env` names {row.api_key_env}, and the "
                "environment does not set it. Set it and start again."
            )
        return [Instance(urlsplit(url).netloc, url, key) for url in row.instances]
