"""Real parts on this machine: embedded engines, each on a core of its own, and a controller before them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import processes
from benchmarks.load.processes import Program
from benchmarks.load.questions import MODEL, Host

UPSTREAM = "whisper-base-smollm2"
PLACES = 2
_REGISTRY = f"""
[{MODEL}]
title = "Whisper base + SmolLM2"
sentence = "The embedded engine, twice."
kind = "chat"
engine = "openai"
upstream_model = "{UPSTREAM}"
instances = {{instances}}
licence = "MIT, Apache-2.0"
max_audio_seconds = 300
[{MODEL}.capabilities]
summarise = true
answer = true
transcribe = true
speech = "It writes."
"""
# No hedges: the simulator has none, and with two cores an engine is often slower than they wait for.
SETTINGS = {
    "MERALION_PORT": "0",
    "MERALION_EXIT_WITH_PARENT": "1",
    "MERALION_PLACES": str(PLACES),
    "MERALION_HEDGE_FIRST_S": "0",
    "MERALION_HEDGE_SILENCE_S": "0",
    "MERALION_CACHE_STORE": "none",
}


@dataclass(frozen=True)
class House:
    """All that runs: where to ask the engines themselves, and where the controller."""

    engines: tuple[Host, ...]
    controller: Host
    programs: tuple[Program, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The instances' names at the controller."""
        return tuple(f"{one.host}:{one.port}" for one in self.engines)

    def cpu_s(self) -> float:
        """CPU seconds that all of it has used."""
        return sum(program.cpu_s() for program in self.programs)


@contextlib.contextmanager
def running(instances: int = 2) -> Iterator[House]:
    """Start engines and controller, and end them on leaving. Raises SystemExit when one does not start."""
    with ExitStack() as stack:
        programs = [stack.enter_context(_engine(number)) for number in range(instances)]
        hosts = tuple(Host("127.0.0.1", program.ready["port"]) for program in programs)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        registry = folder / "models.toml"
        addresses = [f"http://{one.host}:{one.port}" for one in hosts]
        registry.write_text(_REGISTRY.format(instances=json.dumps(addresses)))
        environment = {**SETTINGS, "MERALION_MODELS": str(registry)}
        command = [sys.executable, "-m", "backend"]
        controller = stack.enter_context(processes.running(command, environment))
        port = controller.ready["port"]
        processes.wait_until_up(f"http://127.0.0.1:{port}/readyz", controller)
        yield House(hosts, Host("127.0.0.1", port), (*programs, controller))


@contextlib.contextmanager
def _engine(number: int) -> Iterator[Program]:
    cores = sorted(os.sched_getaffinity(0))
    command = [sys.executable, "-m", "model.embedded", "--port", "0"]
    if shutil.which("taskset"):
        command = ["taskset", "-c", str(cores[number % len(cores)]), *command]
    environment = {
        "MERALION_ENGINE_THREADS": "1",
        "MERALION_ENGINE_MAX_RUNNING": str(PLACES),
        "MERALION_ENGINE_SPEECH": "false",
        "MERALION_EXIT_WITH_PARENT": "1",
    }
    with processes.running(command, environment) as program:
        yield program
