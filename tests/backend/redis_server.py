"""A real Redis on a free port, that can be killed, frozen and started again."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import redis
from pydantic import SecretStr


class RedisServer:
    """Keeps nothing on disk, so what it held is gone when it is killed."""

    def __init__(self, folder: Path, password: str = "") -> None:
        self._folder = folder
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        password = f":{self._password}@" if self._password else ""
        return f"redis://{password}127.0.0.1:{self.port}/0"

    @property
    def secret_url(self) -> SecretStr:
        return SecretStr(self.url)

    def start(self) -> None:
        """Start it, on the same port as before, and wait until it answers."""
        options = {"--port": str(self.port), "--bind": "127.0.0.1", "--dir": str(self._folder)}
        options |= {"--save": "", "--appendonly": "no"}
        options |= {"--requirepass": self._password} if self._password else {}
        command = ["redis-server", *(word for option in options.items() for word in option)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(redis.ConnectionError), self.client() as client:
                client.ping()
                return
            assert time.monotonic() < deadline and self._process.poll() is None, "redis-server does not start"
            time.sleep(0.01)

    def client(self) -> redis.Redis:
        """A client of the test's own."""
        return redis.Redis(port=self.port, password=self._password or None, socket_timeout=5)

    def freeze(self) -> None:
        """Stop it, so that it takes connections and does not answer."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, whatever state it is in."""
        assert self._process
        self._process.kill()
        self._process.wait(10)


@contextlib.contextmanager
def redis_server(password: str = "") -> Iterator[RedisServer]:
    """Run one for the length of a `with`."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder), password)
        try:
            yield server
        finally:
            server.kill()
