"""Serve a model by the OpenAI API, with what suits this machine.

python -m model.serve DIR                                # a checkpoint's folder, on 127.0.0.1:8001
python -m model.serve whisper-base-smollm2 --port 0      # a model of the registry, on a free port
python -m model.serve meralion-mini                      # what ships with the demo, in vLLM: on a CPU too
python -m model.serve DIR --dtype float32 -- --seed 7    # what follows -- goes to vLLM as it is

Says what it chose and why on stderr, and prints one JSON line on stdout when the server answers.
Exit codes: 0 stopped, 1 the server ended by itself, 2 it cannot be started as things are.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import tempfile
from pathlib import Path

from model.checkpoints.inspect import inspect
from model.serve import command, interpreter, machine, models, options, traces
from model.serve.options import Options
from model.serve.plan import Model, Plan, plan
from model.serve.refused import Refused
from model.serve.server import Server, end_with_parent
from model.settings import SettingsError
from model.vllm_plugin import settings


def main() -> int:
    """Find the model, plan, start, stay."""
    chosen = options.read()
    try:
        target = models.find(chosen.model, chosen.download)
        if target.folder is None:
            return _embedded(chosen)
        return _vllm(chosen, target.name, target.folder)
    except (Refused, SettingsError) as refused:
        print(refused, file=sys.stderr)
        return 2


def _vllm(chosen: Options, name: str, folder: Path) -> int:
    host = settings.load()
    report = inspect(folder)
    model = Model.of(report, name)
    python = interpreter.with_vllm()
    decided = plan(machine.look(), model, chosen, python.device)
    with _held(chosen.host, chosen.port) as held:
        port: int = held.getsockname()[1]
        trace_flags, traced = traces.arguments(host.otlp_endpoint, python)
        arguments = command.arguments(decided, report, chosen, port, trace_flags)
        _say(f"{name}: {model.layout.title}, {model.parameters / 1e6:,.0f} million parameters")
        choices = [*decided.choices, *([traced] if traced else [])]
        _say(f"  {'licence':<11}{model.layout.licence}", *map(str, choices))
        if chosen.dry_run:
            print(shlex.join([str(python.path), *arguments]))
            return 0
        _say(f"Starting vLLM {python.version} on http://{chosen.host}:{port}; its log follows.")
        return _run(decided, [str(python.path), *arguments], chosen.host, port)


def _run(decided: Plan, arguments: list[str], host: str, port: int) -> int:
    ready = {"event": "ready", "host": host, "port": port, "model": decided.model.name}
    with tempfile.TemporaryDirectory(prefix="meralion-") as rendezvous:
        environment = command.environment(decided, os.environ, Path(rendezvous))
        environment |= traces.environment(os.environ)
        server = Server(arguments, environment, models.ROOT)
        if os.environ.get("MERALION_EXIT_WITH_PARENT") == "1":
            end_with_parent(server)
        code = server.run(host, port, lambda: print(json.dumps(ready), flush=True))
    if code:
        _say(server.last_words())
    return code


def _embedded(chosen: Options) -> int:
    """Become the embedded engine, which chooses for itself."""
    python = str(interpreter.with_embedded())
    arguments = [python, "-m", "model.embedded", "--host", chosen.host, "--port", str(chosen.port)]
    _say(f"{chosen.model}: the embedded engine, which brings its own small models and needs no GPU.")
    if chosen.dry_run:
        print(shlex.join(arguments))
        return 0
    os.chdir(models.ROOT)
    os.execv(python, arguments)  # noqa: S606 - our own interpreter


def _held(host: str, port: int) -> socket.socket:
    """A socket that holds the port for vLLM, which may bind it too, so that nobody takes it meanwhile.

    Raises Refused if it is taken already; vLLM would say so in a traceback.
    """
    held = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((host, port))
    except OSError as error:
        held.close()
        raise Refused(
            f"Port {port} of {host} cannot be used: {error.strerror or error}. "
            "Choose another with --port; 0 finds a free one."
        ) from None
    return held


def _say(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
