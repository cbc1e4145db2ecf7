"""A running demo: `streamlit run Home.py` and everything that it started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from ui.settings import ROOT

START_LIMIT_S = 60


@dataclass
class Demo:
    """A running `streamlit run Home.py` and everything that it started."""

    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def child(self, module: str) -> int:
        """The process id of `python -m module` among our descendants."""
        for pid, command in descendants(self.process.pid).items():
            if f"-m {module}" in command:
                return pid
        raise AssertionError(f"no {module} is running")


def descendants(pid: int) -> dict[int, str]:
    """Process ids and command lines of everything that a process started."""
    parents: dict[int, tuple[int, str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(entry.name)] = (parent, command)
    found: dict[int, str] = {}
    grown = True
    while grown:
        more = {
            child: command
            for child, (parent, command) in parents.items()
            if child not in found and (parent == pid or parent in found)
        }
        found |= more
        grown = bool(more)
    return found


def start_demo(*arguments: str, **settings: str) -> Demo:
    """Start the demo as a person would, on a free port, with only these MERALION settings."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MERALION")}
    environment |= settings | {"STREAMLIT_SERVER_HEADLESS": "true"}  # no window on a developer's screen
    command = [sys.executable, "-m", "streamlit", "run", "Home.py", "--server.port", str(port), *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, text=True)
    demo = Demo(process, port)
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{demo.url}/_stcore/health", trust_env=False).is_success:
                return demo
        except httpx.TransportError:
            time.sleep(0.1)
    process.kill()
    raise AssertionError("the demo did not start")


def stop_demo(demo: Demo) -> None:
    """Press Ctrl-C, and see to it that everything ends."""
    demo.process.send_signal(signal.SIGINT)
    try:
        demo.process.wait(timeout=15)
    finally:
        demo.process.kill()
