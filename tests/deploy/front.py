"""Caddy with the cluster's Caddyfile in front of whatever a name has for addresses, as in the cluster."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.backend.asking import until
from tests.backend.dns_server import DnsServer
from tests.backend.fake_engine import Behaviour, FakeEngine
from tests.deploy.kubernetes import FOLDER

CADDY = Path(sys.prefix) / "bin" / "caddy"
NAME = "pods.test"
needs_caddy = pytest.mark.skipif(
    not CADDY.is_file() and "CI" not in os.environ, reason="Caddy is not installed. Run `make .venv/event`."
)


class Front:
    """Caddy with the cluster's Caddyfile, which leads to the addresses that a name has now."""

    def __init__(self, dns: DnsServer, folder: Path, stack: contextlib.ExitStack) -> None:
        self.dns = dns
        self._folder = folder
        self._stack = stack
        self.running: list[subprocess.Popen[bytes]] = []
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.behind: int = free.getsockname()[1]  # one port for all pods, free on 127.0.0.1

    def pod(self, number: int, behaviour: Behaviour) -> FakeEngine:
        """A server at 127.0.10.NUMBER."""
        pod = FakeEngine(host=f"127.0.10.{number}", port=self.behind)
        self._stack.callback(pod.shut_down)
        pod.default = behaviour
        return pod

    def name(self, *hosts: str) -> None:
        """Let the name have these addresses now."""
        self.dns.hosts[NAME] = list(hosts)

    def start(self, port: int = 0) -> str:
        """Start one more Caddy, on a free port if none is named; return its address."""
        if not port:
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
        told = {"PORT": str(port), "PAGES": NAME, "PAGES_PORT": str(self.behind), "REFRESH": "1s"}
        command = [CADDY, "run", "--config", FOLDER / "base/Caddyfile", "--adapter", "caddyfile"]
        log = self._stack.enter_context((self._folder / f"caddy {port}").open("wb"))
        popen = subprocess.Popen(
            [*self.dns.asked_by(self._folder), *command],
            env=os.environ | told | {"HOME": str(self._folder)},
            stdout=log,
            stderr=log,
        )
        self.running.append(popen)
        self._stack.callback(popen.wait, 30)
        self._stack.callback(popen.kill)
        url = f"http://127.0.0.1:{port}"

        def is_up() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"{url}/front/healthz", trust_env=False).status_code == 204
            return False

        until(is_up)
        return url

    def until_looked_up(self, url: str) -> None:
        """Wait until Caddy at `url` has looked the name up after now, which it does for somebody who asks."""
        asked = self.dns.asked

        def has() -> bool:
            httpx.get(f"{url}/healthz", trust_env=False)
            return self.dns.asked >= asked + 2

        until(has)
