"""Who may import whom: pages -> ui -> (network) -> backend -> (network) -> engines."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def imports_of(file: Path) -> Iterator[str]:
    """Every module a file imports, wherever it does, as dotted names; `from a import b` gives a.b."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = file.relative_to(ROOT).parent.parts
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def files_of(*places: str) -> list[Path]:
    """The Python files below some folders, or the files named."""
    found: list[Path] = []
    for place in places:
        path = ROOT / place
        found += [path] if path.is_file() else sorted(path.rglob("*.py"))
    return found


def is_within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


RULES = [
    (("backend",), ("ui", "torch", "transformers", "vllm", "faster_whisper", "streamlit", "samples", "Home")),
    (("ui",), ("backend", "model", "torch", "samples")),
    (("Home.py", "pages"), ("backend", "model", "torch", "samples")),
    (("model",), ("backend", "ui", "streamlit", "training")),
    (("training",), ("backend", "ui", "streamlit", "evaluation")),
    (("evaluation",), ("backend", "model", "ui", "training")),
    (("deploy",), ("ui", "backend", "model", "torch", "streamlit")),
]

DECODER = ("audio", "audio_containers", "audio_libav", "audio_limits", "audio_worker")
# They run in .venv too, which has no torch: beside the pages, and before vLLM is started.
LIGHT = ("geometry", "layouts", "prompts", "checkpoints.inspect", "serve", "embedded", "mini", *DECODER)


@pytest.mark.parametrize(("places", "forbidden"), RULES, ids=[places[-1] for places, _ in RULES])
def test_nobody_reaches_across_the_wire(places: tuple[str, ...], forbidden: tuple[str, ...]) -> None:
    wrong = [
        f"{file.relative_to(ROOT)} imports {module}"
        for file in files_of(*places)
        for module in imports_of(file)
        if is_within(module, *forbidden)
    ]
    assert wrong == []


def test_the_controller_takes_only_the_decoder_from_the_model() -> None:
    taken = {
        module for file in files_of("backend") for module in imports_of(file) if is_within(module, "model")
    }
    assert all(module.startswith("model.audio.") for module in taken)


def test_the_decoder_needs_no_model_library() -> None:
    files = files_of(*(f"model/{name}.py" for name in DECODER))
    assert files
    roots = {module.split(".")[0] for file in files for module in imports_of(file)}
    assert not roots & {"torch", "transformers", "vllm", "faster_whisper", "ctranslate2", "fastapi"}
    taken = {
        module.split(".")[1] for file in files for module in imports_of(file) if is_within(module, "model")
    }
    assert taken <= set(DECODER)


@pytest.mark.parametrize("name", LIGHT)
def test_what_runs_beside_the_pages_loads_no_torch(name: str) -> None:
    """Run, not read: an import two modules away counts as well."""
    code = (
        "import importlib, pkgutil, sys\n"
        f"module = importlib.import_module('model.{name}')\n"
        "for found in pkgutil.walk_packages(getattr(module, '__path__', []), module.__name__ + '.'):\n"
        "    importlib.import_module(found.name)\n"
        "print(*sorted({'torch', 'transformers', 'vllm', 'safetensors'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
