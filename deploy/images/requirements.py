"""Write what each image installs: the part of requirements.txt that its service needs, with the same pins.

    python -m deploy.images.requirements            # writes requirements/{controller,ui,engine}.txt
    python -m deploy.images.requirements --check    # exit code 1 if one is not as it would be written

Run it in .venv after a change of requirements.txt: what a package needs is read from what is installed there.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "requirements"
_TRACES = ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")
_PIN = re.compile(r"([A-Za-z0-9._-]+)==([^\s;]+)")
_LINUX = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}

# What each service imports itself.
DIRECT = {
    "controller": (
        *("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "httpx", "python-multipart", "pybase64"),
        *("redis", "cryptography", "prometheus-client", "pydantic", "pydantic-settings", "av", "numpy"),
        *_TRACES,
    ),
    "ui": (
        *("streamlit", "audio-recorder-streamlit", "pillow", "streamlit-webrtc", "openai", "segno", "httpx"),
        *("httpx2", "certifi", "av", "numpy", "pydantic", "pydantic-settings"),
        *_TRACES,
    ),
    "engine": (
        *("faster-whisper", "xllamacpp", "onnxruntime", "starlette", "uvicorn", "httpx", "python-multipart"),
        *("av", "numpy", "pydantic", "pydantic-settings", "jinja2", "tokenizers", "threadpoolctl"),
        *_TRACES,
    ),
}


class UnpinnedError(Exception):
    """A package that a service needs is not pinned, or not installed here; the message says what to do."""


def text(role: str) -> str:
    """What the role's file says. Raises UnpinnedError."""
    pins = _pins()
    needed = _closure(DIRECT[role])
    if missing := sorted(needed - pins.keys()):
        raise UnpinnedError(f"{', '.join(missing)}: needed by the {role}. Pin it in requirements.txt.")
    lines = [
        f"# What the image of the {role} installs: what it needs of requirements.txt and tracing.txt.",
        "# Written by: python -m deploy.images.requirements",
        *(pins[name] for name in sorted(needed)),
    ]
    return "\n".join(lines) + "\n"


def _pins() -> dict[str, str]:
    """Every pin of the demo and of its traces, by the package's canonical name."""
    found: dict[str, str] = {}
    for file in (ROOT / "requirements.txt", FOLDER / "tracing.txt"):
        for line in file.read_text("utf-8").splitlines():
            if pin := _PIN.match(line):
                found[canonicalize_name(pin[1])] = f"{pin[1]}=={pin[2]}"
    return found


def _closure(direct: tuple[str, ...]) -> set[str]:
    """These packages and everything that they need on Linux."""
    found: set[str] = set()
    waiting = [(canonicalize_name(name), frozenset[str]()) for name in direct]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        found.add(name)
        try:
            lines = requires(name) or []
        except PackageNotFoundError:
            raise UnpinnedError(f"{name} is not installed here. Run `make .venv/test`.") from None
        for line in lines:
            need = Requirement(line)
            if need.marker is None or any(
                need.marker.evaluate({**_LINUX, "extra": extra}) for extra in extras or {""}
            ):
                waiting.append((canonicalize_name(need.name), frozenset(need.extras)))
    return found


def main() -> int:
    """Write, or check, every file."""
    stale = []
    for role in DIRECT:
        file = FOLDER / f"{role}.txt"
        wanted = text(role)
        if not file.is_file() or file.read_text("utf-8") != wanted:
            stale.append(file.name)
            if "--check" not in sys.argv:
                file.write_text(wanted, "utf-8")
    if "--check" in sys.argv and stale:
        sys.stderr.write(f"{', '.join(stale)}: not up to date. Run python -m deploy.images.requirements.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
