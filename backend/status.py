"""How every part is at this moment: one card for people, and the same figures for Prometheus.

Counts are since the start. There is no content in it, no key and no address that could hold one.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Iterator
from dataclasses import Field, asdict, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from backend.balancer import PoolStats
from backend.instance import Instance, Stats
from backend.stores import choice
from backend.timing import SHARED

if TYPE_CHECKING:
    from backend.controller import Controller

_PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
_STATES = ("up", "starting", "down")
_BREAKER = ("closed", "half_open", "open")


@cache
def version() -> str:
    """Return the project's version; controllers run from a checkout."""
    return str(tomllib.loads(_PROJECT.read_text("utf-8"))["project"]["version"])


def card(house: Controller) -> dict[str, Any]:
    """Return what `/v1/status` says."""
    now = time.time()
    models = {model: pool.instances for model, pool in house.pools.items()}
    return {
        "object": "status",
        "version": version(),
        "started_at": house.started_at,
        "uptime_s": round(now - house.started_at, 1),
        "config": {"loaded_at": house.reload.loaded_at, "error": house.reload.error or None},
        "models": [
            {
                "id": model,
                "state": pool.state,
                "detail": pool.detail,
                "instances": [one.name for one in pool.instances],
                "waiting": pool.waiting,
                **asdict(pool.stats),
            }
            for model, pool in house.pools.items()
        ],
        "instances": [
            _instance(one, [model for model, instances in models.items() if one in instances])
            for one in house.fleet
        ],
        "queue": {
            "waiting": sum(pool.waiting for pool in house.pools.values()),
            "busy": sum(one.busy for one in house.fleet),
            "places": sum(one.places for one in house.fleet if not one.draining),
        },
        "cache": {
            "store": choice.chosen(house.settings, house.link),
            "bytes": house.cache.held_bytes,
            "max_bytes": house.settings.cache_max_bytes,
            **asdict(house.cache.stats),
        },
        "flights": {"open": len(house.flights), "shared": house.metrics.answers[SHARED]},
        "files": {
            "count": house.files.count,
            "bytes": house.files.held_bytes,
            "max_bytes": house.settings.files_max_bytes,
        },
        "event": {"paused": house.host.paused, "visits_epoch": house.host.epoch},
        "uploads": {"bytes": house.uploads.held, "max_bytes": house.settings.uploads_max_bytes},
        "redis": "off" if house.link is None else "up" if house.link.up else "away",
    }


def _instance(one: Instance, models: list[str]) -> dict[str, Any]:
    return {
        "name": one.name,
        "models": models,
        "state": one.state,
        "detail": one.detail,
        "draining": one.draining,
        "breaker": one.breaker.state,
        "weight": one.weight,
        "places": one.places,
        "limit": one.limit,
        "busy": one.busy,
        "outstanding_ms": round(one.outstanding, 1),
        **asdict(one.stats),
    }


class Gauges(Collector):
    """The card as metrics, read when Prometheus asks."""

    def __init__(self, house: Controller) -> None:
        self._house = house

    def describe(self) -> list[Metric]:
        """Say nothing before there is something to read."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every figure of the card."""
        said = card(self._house)
        yield InfoMetricFamily("meralion_controller", "This controller.", {"version": said["version"]})
        single = {
            "config_loaded_timestamp_seconds": (
                "When registry or keys were read.",
                said["config"]["loaded_at"],
            ),
            "config_refused": ("Whether a changed file is broken.", said["config"]["error"] is not None),
            "paused": ("Whether the host has paused the demo.", said["event"]["paused"]),
            "redis_up": ("Whether Redis answers.", said["redis"] == "up"),
            "cache_bytes": ("Answers in memory.", said["cache"]["bytes"]),
            "files_bytes": ("Uploads in memory.", said["files"]["bytes"]),
            "files": ("Uploads in memory.", said["files"]["count"]),
            "uploads_bytes": ("Long recordings that are being read.", said["uploads"]["bytes"]),
            "flights": ("Answers on their way.", said["flights"]["open"]),
        }
        for name, (what, value) in single.items():
            yield GaugeMetricFamily(f"meralion_{name}", what, value)
        for name, value in asdict(self._house.cache.stats).items():
            yield CounterMetricFamily(f"meralion_cache_{name}", "Of the cache of answers.", value)
        yield from _each(said["models"], "model", "id", gauges=("waiting",), counters=fields(PoolStats))
        yield from _each(
            said["instances"],
            "instance",
            "name",
            gauges=("weight", "places", "limit", "busy", "draining", "outstanding_ms"),
            counters=fields(Stats),
        )
        yield _states(said["models"], "model", "id", "state", _STATES)
        yield _states(said["instances"], "instance", "name", "state", _STATES)
        yield _states(said["instances"], "instance", "name", "breaker", _BREAKER)


def _each(
    cards: list[dict[str, Any]],
    label: str,
    key: str,
    *,
    gauges: tuple[str, ...],
    counters: tuple[Field[Any], ...],
) -> Iterator[Metric]:
    """Yield one metric for each figure, with every model's or instance's value."""
    families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {}
    for name in gauges:
        unit = name.replace("_ms", "_seconds")
        families[name] = GaugeMetricFamily(f"meralion_{label}_{unit}", f"Of each {label}.", labels=[label])
    for field in counters:
        families[field.name] = CounterMetricFamily(
            f"meralion_{label}_{field.name}", f"Of each {label}.", labels=[label]
        )
    for name, family in families.items():
        for one in cards:
            family.add_metric([one[key]], one[name] / 1_000 if name.endswith("_ms") else one[name])
    yield from families.values()


def _states(cards: list[dict[str, Any]], label: str, key: str, name: str, states: tuple[str, ...]) -> Metric:
    """Return 1 for the state that each is in, 0 for the others."""
    family = GaugeMetricFamily(
        f"meralion_{label}_{name}", "1 for the state it is in.", labels=[label, "state"]
    )
    for one in cards:
        for state in states:
            family.add_metric([one[key], state], one[name] == state)
    return family
