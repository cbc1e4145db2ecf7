"""The demo below its pages, for one evaluation: a controller, and the engine that it starts with all models.

The small audio model is the engine's own, or a checkpoint that MERALION_MINI names, in a vLLM of this run's.

The controller's registry, settings and kept answers are this run's own: no answer of another run is served.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from evaluation.bundled import sets
from evaluation.bundled.child import ROOT, Child
from evaluation.errors import EndpointError, RegistryError

HERE = Path(__file__).parent
MINI = "MERALION_MINI"  # the folder of another checkpoint of the small audio model
MINI_ID = "meralion-mini"
SHIPPED = ROOT / "model" / "mini" / "weights"  # as model.mini says; this package imports none of the others
_VLLM = ROOT / ".venv-vllm"
_START_S, _VLLM_START_S, _LOAD_S = 60.0, 300.0, 180.0
_HARDLY = 2.0  # s between two looks at what is up

# All else is as it is by default, whatever this machine's environment says.
_SETTINGS = {
    "MERALION_PORT": "0",
    "MERALION_ENGINE_WHISPER_TINY": "true",
    "MERALION_ENGINE_WHISPER_BASE": "true",
    "MERALION_ENGINE_SPEECH": "false",  # nothing is read aloud
    "MERALION_ENGINE_THREADS": "1",  # the text model rounds otherwise with each other number of them
}
_THE_MACHINES = ("MERALION_ENGINE_CACHE",)  # where weights lie is no matter of the evaluation


@dataclass(frozen=True)
class House:
    """What is up: the address with /v1, the models and what they offer, and why others are not there."""

    base_url: str
    offered: Mapping[str, Collection[str]]  # capabilities by model
    left_out: Mapping[str, str]

    def offers(self, model: str, task: str) -> bool:
        """Whether a model says that it can do a data set's task: what it does not offer it is not asked."""
        return sets.CAPABILITIES[task] in self.offered[model]


@contextlib.contextmanager
def started(logs: Path, tell: Callable[[str], None], every_task: bool = False) -> Iterator[House]:
    """Start all, wait until all models are up, and end all on leaving. Raises EvaluationError.

    With `every_task` the small audio model offers also what was not measured, so that it can be.
    """
    with contextlib.ExitStack() as stack:
        own = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="meralion-eval-")))
        registry, left_out, in_engine = (HERE / "models.toml").read_text("utf-8"), {}, "off"
        try:
            if os.environ.get(MINI):
                registry = _without_mini(registry) + _in_vllm(stack, logs, tell)
            else:
                in_engine = str(_claiming_all(SHIPPED, own / "mini") if every_task else SHIPPED)
        except RegistryError as why:
            registry, left_out = _without_mini(registry), {MINI_ID: str(why)}
        (own / "models.toml").write_text(registry, "utf-8")
        (own / "settings.toml").touch()
        environment = _environment() | {
            "MERALION_MODELS": str(own / "models.toml"),
            "MERALION_CONFIG": str(own / "settings.toml"),
            "MERALION_CACHE_FILE": str(own / "answers.sqlite"),
            "MERALION_ENGINE_MINI": in_engine,
        }
        command = (sys.executable, "-m", "backend")
        controller = Child("the controller", command, environment, logs / "controller.log")
        url = stack.enter_context(controller).ready(_START_S, tell)
        controller.until(lambda: _up(url), _LOAD_S, tell, "Loading the models")
        yield House(f"{url}/v1", _offered(url), left_out)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MERALION_")}
    return kept | {name: os.environ[name] for name in _THE_MACHINES if name in os.environ} | _SETTINGS


def _without_mini(registry: str) -> str:
    """The rows but for the small audio model's, which is the last."""
    return registry.partition(f"[{MINI_ID}]")[0]


def _claiming_all(shipped: Path, folder: Path) -> Path:
    """A folder like a shipped one that says of every task here that it was measured on it.

    Raises RegistryError where there is no shipped one.
    """
    folder.mkdir()
    try:
        config = json.loads((shipped / "config.json").read_bytes())
        config["measured"]["tasks"] = list(sets.CAPABILITIES.values())
        (folder / "config.json").write_text(json.dumps(config), "utf-8")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RegistryError(f"No small audio model: {shipped} does not hold one ({error}).") from None
    (folder / "model.safetensors").symlink_to(shipped / "model.safetensors")
    return folder


def _in_vllm(stack: contextlib.ExitStack, logs: Path, tell: Callable[[str], None]) -> str:
    """Start the small audio model that MINI names; its row. Raises RegistryError, EndpointError."""
    named = os.environ[MINI]
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


def _offered(url: str) -> dict[str, list[str]]:
    """What each model that is up offers."""
    cards = httpx.get(f"{url}/v1/models", timeout=10, trust_env=False).json()["data"]
    return {
        card["id"]: [name for name, said in card["meralion"]["capabilities"].items() if said["supported"]]
        for card in cards
    }


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
