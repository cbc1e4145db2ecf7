"""The demo below its pages, for one evaluation: a controller, the engine it starts, the small audio model.

The controller's registry, settings and kept answers are this run's own: no answer of another run is served.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from evaluation.bundled.child import ROOT, Child
from evaluation.errors import EndpointError, RegistryError

HERE = Path(__file__).parent
MINI = "MERALION_MINI"  # the folder of the small audio model's checkpoint
MINI_ID = "meralion-mini"
OURS = ("whisper-base-smollm2", "whisper-tiny-en")
_VLLM = ROOT / ".venv-vllm"
_START_S, _VLLM_START_S, _LOAD_S = 60.0, 300.0, 180.0
_HARDLY = 2.0  # s between two looks at what is up

# All else is as it is by default, whatever this machine's environment says.
_SETTINGS = {
    "MERALION_PORT": "0",
    "MERALION_ENGINE_WHISPER_TINY": "true",
    "MERALION_ENGINE_SPEECH": "false",  # nothing is read aloud
    "MERALION_ENGINE_THREADS": "1",  # the text model rounds otherwise with each other number of them
}
_THE_MACHINES = ("MERALION_ENGINE_CACHE",)  # where weights lie is no matter of the evaluation


@dataclass(frozen=True)
class House:
    """What is up: the address with /v1, the models' ids, and why others are not there."""

    base_url: str
    models: tuple[str, ...]
    left_out: Mapping[str, str]


@contextlib.contextmanager
def started(logs: Path, tell: Callable[[str], None]) -> Iterator[House]:
    """Start all, wait until all models are up, and end all on leaving. Raises EvaluationError."""
    with contextlib.ExitStack() as stack:
        own = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="meralion-eval-")))
        registry, left_out = (HERE / "models.toml").read_text("utf-8"), {}
        models: tuple[str, ...] = OURS
        try:
            registry += _mini(stack, logs, tell)
            models = (*OURS, MINI_ID)
        except RegistryError as why:
            left_out = {MINI_ID: str(why)}
        (own / "models.toml").write_text(registry, "utf-8")
        (own / "settings.toml").touch()
        environment = _environment() | {
            "MERALION_MODELS": str(own / "models.toml"),
            "MERALION_CONFIG": str(own / "settings.toml"),
            "MERALION_CACHE_FILE": str(own / "answers.sqlite"),
        }
        command = (sys.executable, "-m", "backend")
        controller = Child("the controller", command, environment, logs / "controller.log")
        url = stack.enter_context(controller).ready(_START_S, tell)
        controller.until(lambda: _up(url), _LOAD_S, tell, "Loading the models")
        yield House(f"{url}/v1", models, left_out)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MERALION_")}
    return kept | {name: os.environ[name] for name in _THE_MACHINES if name in os.environ} | _SETTINGS


def _mini(stack: contextlib.ExitStack, logs: Path, tell: Callable[[str], None]) -> str:
    """Start the small audio model; its row. Raises RegistryError where there is none, EndpointError."""
    named = os.environ.get(MINI, "")
    if not named:
        raise RegistryError(f"No small audio model: set {MINI} to the folder of its checkpoint.")
    folder = Path(named).absolute()
    if not (folder / "config.json").is_file():
        raise RegistryError(f"No small audio model: {MINI} names {named}, which holds no checkpoint.")
    if not (_VLLM / "bin" / "python").exists():
        raise RegistryError("No small audio model: it needs .venv-vllm. Run `make vllm`.")
    command = (sys.executable, "-m", "model.serve", str(folder), "--port", "0")
    server = Child("the small audio model", command, _environment(), logs / "mini.log")
    url = stack.enter_context(server).ready(_VLLM_START_S, tell)
    row = (HERE / "mini.toml").read_text("utf-8")
    return row.replace("{url}", url).replace("{model}", str(server.said["model"]))


def _up(url: str) -> str:
    """The address once every model is up, empty until then. Raises EndpointError when one cannot start."""
    with contextlib.suppress(httpx.HTTPError):
        cards = httpx.get(f"{url}/v1/models", timeout=10, trust_env=False).json()["data"]
        for card in cards:
            ours = card["meralion"]
            if ours["state"] == "down":
                raise EndpointError(f"{ours['title']} cannot be started. {ours['detail']}")
        if all(card["meralion"]["state"] == "up" for card in cards):
            return url
    time.sleep(_HARDLY)
    return ""
