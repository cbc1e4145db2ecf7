"""What the tests of the model and its plugin share: the environment, small checkpoints, sound."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

# Before vLLM is imported: one process, little memory, both cores, nothing sent anywhere.
os.environ |= {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
}

import pytest

from model.checkpoints.build import build
from tests.collector import Collector
from tests.vllm.served import Served


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Build a small checkpoint, each kind once."""
    made: dict[str, Path] = {}

    def make(layout: str, **options: object) -> Path:
        name = "-".join([layout, *(f"{key}={value}" for key, value in sorted(options.items()))])
        if name not in made:
            made[name] = build(tmp_path_factory.mktemp(name), layout, **options)  # type: ignore[arg-type]
        return made[name]

    return make


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """What the server for all tests sends its traces to."""
    one = Collector()
    yield one
    one.close()


@pytest.fixture(scope="session")
def served(
    checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory, collector: Collector
) -> Iterator[Served]:
    """One server for all tests that ask by HTTP; its end is a test as well: nothing of it may stay."""
    os.environ["MERALION_OTLP_ENDPOINT"] = collector.url
    server = Served(checkpoint("v2"), tmp_path_factory.mktemp("served") / "log")
    del os.environ["MERALION_OTLP_ENDPOINT"]
    yield server
    server.end()
