"""A program on a host: started, waited for, killed, hung and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.hosts.network import Host

ROOT = Path(__file__).parents[2]
_READY_S = 120.0
_LOOK_S = 0.05


class Program:
    """One program, in a process group of its own. `log` gets all that it says, over all its lives."""

    def __init__(
        self,
        host: Host,
        command: Sequence[str],
        log: Path,
        ready: Callable[[], bool],
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`ready` is asked, as the host itself, whether the program does its work."""
        self.host = host
        self.log = log
        self._command = host.command(*command)
        self._env = env or {}
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Start it, and do not wait."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MERALION_")}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=kept | dict(self._env),
                stdin=subprocess.PIPE,  # by whose end it knows that we are gone
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start(self) -> None:
        """Start it, and wait until it does its work."""
        self.begin()
        self.wait()

    def restart(self) -> None:
        """Start it, unless it runs."""
        if not self.alive:
            self.start()

    def wait(self, within_s: float = _READY_S) -> None:
        """Wait until it does its work. Raises RuntimeError, with the end of its log, when it does not."""
        deadline = time.monotonic() + within_s
        while not self.is_ready():
            if not self.alive or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-2_000:]
                raise RuntimeError(f"{self.host.name}: `{' '.join(self._command)}` is not ready.\n{tail}")
            time.sleep(_LOOK_S)

    def is_ready(self) -> bool:
        """Whether it does its work now, seen from its own host."""
        return self.alive and self.host.do(self._ready)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it at once, with all that it started."""
        self._signal(signal.SIGKILL)
        self._gone(10)

    def terminate(self) -> None:
        """Ask it to end, and do not wait."""
        assert self._process
        self._process.terminate()

    def ended(self, within_s: float = 60.0) -> None:
        """Wait until it has ended."""
        self._gone(within_s)

    def hang(self) -> None:
        """Stop it, so that its kernel takes connections and nobody answers."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on after `hang`."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End it, whatever state it is in."""
        if self._process is None:
            return
        self.kill()
        assert self._process.stdin
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _gone(self, within_s: float) -> None:
        assert self._process
        self._process.wait(within_s)
