"""A Dockerfile as its instructions."""

from __future__ import annotations

import re
from pathlib import Path

from tests.speech import ROOT

FOLDER = ROOT / "deploy" / "images"
FILES = [*sorted(FOLDER.glob("*.Dockerfile")), ROOT / "deploy" / "space" / "Dockerfile"]


def instructions(file: Path) -> list[tuple[str, str]]:
    """Every instruction and what follows it, with lines joined and comments left out."""
    lines = [line for line in file.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines())]


def values(file: Path, name: str) -> list[str]:
    """What follows each instruction of this name."""
    return [rest for found, rest in instructions(file) if found == name]


def copied(file: Path) -> list[str]:
    """What is copied from the repository."""
    return [
        source
        for rest in values(file, "COPY")
        if "--from=" not in rest
        for source in [word for word in rest.split() if not word.startswith("--")][:-1]
    ]


def variables(file: Path) -> dict[str, str]:
    """What ENV sets, in all stages."""
    return dict(pair.split("=", 1) for rest in values(file, "ENV") for pair in rest.split())
