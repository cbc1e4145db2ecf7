"""The gateways that are measured side by side, each in front of the same two mock engines."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import processes
from benchmarks.load.processes import ROOT, Program
from benchmarks.load.questions import MODEL

DIRECT, OURS, VLLM_ROUTER, LITELLM = "direct", "controller", "vllm-router", "LiteLLM"
THEIRS = ROOT / ".venv-gateways/bin"
LITELLM_KEY = "sk-benchmark-of-gateways-1f0c"

_REGISTRY = f"""
[{MODEL}]
title = "Bench"
sentence = "A mock engine."
kind = "chat"
engine = "{{engine}}"
instances = {{instances}}
licence = "MIT"
max_audio_seconds = 300
[{MODEL}.capabilities]
transcribe = true
translate = true
chat = true
speech = "It only writes."
{{more}}
"""
# What limits one visitor is in the way of a benchmark: all its requests come from one address.
_OPEN = {
    "MERALION_PORT": "0",
    "MERALION_EXIT_WITH_PARENT": "1",
    "MERALION_VISITOR_REQUESTS_PER_MINUTE": "0",
    "MERALION_QUEUE_PER_VISITOR": "1024",
}


@dataclass(frozen=True)
class Gateway:
    """One of them, up."""

    name: str
    ports: tuple[int, ...]
    program: Program | None
    key: str = ""


@contextlib.contextmanager
def direct(engines: Sequence[Program]) -> Iterator[Gateway]:
    """No gateway: half of the connections to each engine."""
    yield Gateway(DIRECT, tuple(engine.ready["port"] for engine in engines), None)


@contextlib.contextmanager
def ours(
    engines: Sequence[Program],
    settings: Mapping[str, str] | None = None,
    stderr: Path | None = None,
    engine: str = "openai",
    more: str = "",
) -> Iterator[Gateway]:
    """`python -m backend`, its settings the default ones but for `settings`; its log goes to `stderr`."""
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder, "models.toml")
        models.write_text(
            _REGISTRY.format(engine=engine, instances=json.dumps(addresses(engines)), more=more)
        )
        env = {
            **_OPEN,
            "MERALION_MODELS": str(models),
            "MERALION_CACHE_FILE": str(Path(folder, "answers.sqlite")),
            **(settings or {}),
        }
        with contextlib.ExitStack() as stack:
            log = stack.enter_context((stderr or Path("/dev/null")).open("wb"))
            command = [sys.executable, "-m", "backend"]
            program = stack.enter_context(processes.running(command, env, log))
            port = program.ready["port"]
            processes.wait_until_up(f"http://127.0.0.1:{port}/healthz", program)
            yield Gateway(OURS, (port,), program)


@contextlib.contextmanager
def vllm_router(engines: Sequence[Program]) -> Iterator[Gateway]:
    """vllm-router from PyPI, its routing set to the plainest."""
    port, metrics = processes.free_port(), processes.free_port()
    command = [
        *(str(THEIRS / "vllm-router"), "--host", "127.0.0.1", "--port", str(port)),
        *("--prometheus-port", str(metrics), "--policy", "round_robin"),
        *("--worker-urls", *addresses(engines)),
    ]
    with processes.running(command, says_ready=False) as program:
        processes.wait_until_up(f"http://127.0.0.1:{port}/health", program)
        yield Gateway(VLLM_ROUTER, (port,), program)


@contextlib.contextmanager
def litellm(engines: Sequence[Program]) -> Iterator[Gateway]:
    """LiteLLM's proxy from PyPI; its cache answers only who asks for it."""
    port = processes.free_port()
    rows = [
        {
            "model_name": MODEL,
            "litellm_params": {"model": f"openai/{MODEL}", "api_base": f"{url}/v1", "api_key": "none"},
        }
        for url in addresses(engines)
    ]
    config = {
        "model_list": rows,
        "litellm_settings": {"cache": True, "cache_params": {"type": "local", "mode": "default_off"}},
        "general_settings": {"master_key": LITELLM_KEY},
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "config.yaml")
        file.write_text(json.dumps(config))  # JSON is YAML
        command = [str(THEIRS / "litellm"), "--config", str(file), "--host", "127.0.0.1", "--port", str(port)]
        with processes.running(command, {"LITELLM_LOG": "ERROR"}, says_ready=False) as program:
            processes.wait_until_up(f"http://127.0.0.1:{port}/health/liveliness", program)
            yield Gateway(LITELLM, (port,), program, LITELLM_KEY)


ALL = {DIRECT: direct, OURS: ours, VLLM_ROUTER: vllm_router, LITELLM: litellm}


def installed(name: str) -> bool:
    """Whether it can be started here: the others' are in an environment that `make gateways` makes."""
    programs = {VLLM_ROUTER: "vllm-router", LITELLM: "litellm"}
    return name not in programs or (THEIRS / programs[name]).exists()


def addresses(engines: Sequence[Program]) -> list[str]:
    """Return where mock engines listen."""
    return [f"http://127.0.0.1:{engine.ready['port']}" for engine in engines]
