"""The whole system, each part on a host of its own: clients, pages, controllers, engines, Redis."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from benchmarks.load.questions import MODEL
from tests.hosts.load_process import Load
from tests.hosts.network import Network
from tests.hosts.program import Program

ENGINES = ("engine0", "engine1")
STREAMS = 16
_ENGINE, _CONTROL, _CONTROLLER, _UI, _REDIS = 8001, 8009, 8000, 8501, 6379
_ROW = """
[{model}]
title = "On other hosts"
sentence = "Two engines, each on a host of its own."
kind = "chat"
engine = "{engine}"
instances = {instances}
licence = "MIT"

[{model}.capabilities]
transcribe = true
answer = true
chat = true
"""


class System:
    """Programs by the name of their host, and the network between them, for the length of a `with`.

    `places` are those of each engine, which the controllers share; 16 streams need all of them.
    """

    def __init__(
        self,
        controllers: int = 1,
        *,
        pages: bool = False,
        real: str = "",
        places: int = STREAMS // len(ENGINES),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """With `real`, the name of a model, the embedded engine with its weights; else the mock engine."""
        self.controllers = [f"controller{number}" for number in range(controllers)]
        self.programs: dict[str, Program] = {}
        self.model = real or MODEL
        names = ("client", "ui", *self.controllers, *ENGINES, "redis")
        self.network = Network(*names)
        self._pages = pages
        self._settings = settings or {}
        self._places = places // controllers
        self._stack = contextlib.ExitStack()
        self._loads = 0

    def __enter__(self) -> System:
        with contextlib.ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="meralion-hosts-")))
            stack.enter_context(self.network)
            stack.callback(self._end)
            self._place()
            for program in self.programs.values():
                program.begin()
            for program in self.programs.values():
                program.wait()
            self.wait_until(self.is_well, "all parts are well")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def status(self, controller: str = "") -> dict[str, Any]:
        """What a controller says of itself, asked on its own host."""
        host = self.network.hosts[controller or self.controllers[0]]
        url = f"http://{host.address}:{_CONTROLLER}/v1/status"
        card: dict[str, Any] = host.do(lambda: httpx.get(url, timeout=5, trust_env=False).json())
        return card

    def busy(self) -> list[int]:
        """How many answers each engine is giving, as the controllers count."""
        cards = [self.status(name)["instances"] for name in self.controllers]
        return [sum(card[at]["busy"] for card in cards) for at in range(len(ENGINES))]

    def is_well(self) -> bool:
        """Whether every controller sees both engines and Redis up."""
        cards = [self.status(name) for name in self.controllers]
        return all(
            card["redis"] == "up" and all(one["state"] == "up" for one in card["instances"]) for card in cards
        )

    def is_full(self, streams: int = STREAMS) -> bool:
        """Whether so many streams are given, and each engine gives its share."""
        return all(busy >= streams // len(ENGINES) for busy in self.busy())

    def under_way(self) -> int:
        """How many answers the mock engines think that they are giving."""
        total = 0
        for name in ENGINES:
            host = self.network.hosts[name]
            total += host.do(
                lambda: httpx.get(f"http://127.0.0.1:{_CONTROL}/counts", timeout=5, trust_env=False).json()
            )["active"]
        return total

    def wait_until(self, met: Callable[[], bool], what: str, within_s: float = 60.0) -> float:
        """Wait; return how long it took. Raises RuntimeError."""
        began = time.monotonic()
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if met():
                    return time.monotonic() - began
            if time.monotonic() - began > within_s:
                raise RuntimeError(f"Not within {within_s:g} s: {what}.")
            time.sleep(0.05)

    @contextlib.contextmanager
    def load(self, *options: str) -> Iterator[Load]:
        """Keep up 16 streams from the clients' host, or with `--pages` from the pages'."""
        self._loads += 1
        host = self.network.hosts["ui" if "--pages" in options else "client"]
        to = [word for name in self.controllers for word in ("--to", self.address(name))]
        command = [sys.executable, "-m", "tests.hosts.load", *to, "--streams", str(STREAMS)]
        name = f"r{self._loads}"
        with Load(host.command(*command, "--name", name, *options), self.folder / f"load-{name}.log") as load:
            yield load

    def address(self, name: str) -> str:
        """HOST:PORT of a part."""
        port = {"ui": _UI, "redis": _REDIS, **dict.fromkeys(ENGINES, _ENGINE)}.get(name, _CONTROLLER)
        return f"{self.network.hosts[name].address}:{port}"

    def _place(self) -> None:
        python, hosts = sys.executable, self.network.hosts
        for name in ENGINES:
            at = hosts[name].address
            command = [python, "-m", "benchmarks.load.mock", "--host", at, "--port", str(_ENGINE)]
            command += ["--control", str(_CONTROL)]
            if self.model != MODEL:
                command = [python, "-m", "model.embedded", "--host", at, "--port", str(_ENGINE)]
            self._add(name, command, f"http://{at}:{_ENGINE}/v1/models", _engine_settings())
        at = hosts["redis"].address
        keeps_nothing = ("--save", "", "--appendonly", "no", "--protected-mode", "no")
        command = ["redis-server", "--bind", at, "--port", str(_REDIS), *keeps_nothing]
        command += ["--dir", str(self.folder)]
        self._add("redis", command, "")
        models = self.folder / "models.toml"
        engine = "vllm" if self.model == MODEL else "embedded"  # whose sampled answers can be gone on with
        addresses = json.dumps([f"http://{self.address(name)}" for name in ENGINES])
        models.write_text(_ROW.format(model=self.model, engine=engine, instances=addresses))
        for name in self.controllers:
            self._add(
                name,
                [python, "-m", "backend"],
                f"http://{self.address(name)}/readyz",
                {
                    "MERALION_HOST": hosts[name].address,
                    "MERALION_PORT": str(_CONTROLLER),
                    "MERALION_MODELS": str(models),
                    "MERALION_SAMPLES": str(self.folder / "none.json"),
                    "MERALION_REDIS_URL": f"redis://{self.address('redis')}/0",
                    "MERALION_PLACES": str(self._places),
                    "MERALION_VISITOR_REQUESTS_PER_MINUTE": "0",
                    **self._settings,
                },
            )
        if self._pages:
            pages_options = ("--server.address", hosts["ui"].address, "--server.port", str(_UI))
            self._add(
                "ui",
                [python, "-m", "streamlit", "run", "Home.py", *pages_options],
                f"http://{self.address('ui')}/_stcore/health",
                {"MERALION_BACKEND_URL": f"http://{self.address(self.controllers[0])}"},
            )

    def _add(self, name: str, command: list[str], url: str, env: Mapping[str, str] | None = None) -> None:
        def answers() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                return httpx.get(url, timeout=2, trust_env=False).status_code == 200
            return False

        ready = answers if url else lambda: _pings(self.address(name))
        host, log = self.network.hosts[name], self.folder / f"{name}.log"
        self.programs[name] = Program(host, command, log, ready, env)

    def _end(self) -> None:
        for program in reversed(self.programs.values()):
            program.close()


def _pings(address: str) -> bool:
    host, port = address.split(":")
    done = subprocess.run(["redis-cli", "-h", host, "-p", port, "ping"], capture_output=True, check=False)
    return done.stdout.strip() == b"PONG"


def _engine_settings() -> dict[str, str]:
    """One answer at a time: several at once are rounded otherwise, and could not be compared."""
    names = {"SPEECH": "false", "THREADS": "1", "MAX_RUNNING": "1"}
    return {f"MERALION_ENGINE_{name}": value for name, value in names.items()}
