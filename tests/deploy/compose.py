"""deploy/compose.yaml as Docker Compose reads it: variables put in, then YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.speech import ROOT

FILE = ROOT / "deploy" / "compose.yaml"
SERVER = {
    "COMPOSE_PROFILES": "gpu",
    "MERALION_DOMAIN": "demo.example.org",
    "MERALION_VISITOR_SECRET": "a" * 64,
    "MERALION_HOST_KEY": "b" * 64,
}
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<word>[^}]*))?\}")


class MissingError(Exception):
    """A variable that must be set is not; the message is the file's own."""


def read(environment: Mapping[str, str] = SERVER) -> dict[str, Any]:
    """The file with this environment. Raises MissingError."""

    def value(found: re.Match[str]) -> str:
        if given := environment.get(found["name"]):
            return given
        if found["kind"] == "?":
            raise MissingError(found["word"])
        return found["word"] or ""

    lines = FILE.read_text("utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    loaded: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(value, text))
    return loaded


def services(environment: Mapping[str, str] = SERVER) -> dict[str, dict[str, Any]]:
    """Every service, whatever its profile."""
    found: dict[str, dict[str, Any]] = read(environment)["services"]
    return found


def vllms() -> list[str]:
    """The vLLM services that serve."""
    return [name for name in services() if name.startswith("vllm-")]
