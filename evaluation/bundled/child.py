"""A server as a child: it says where it listens in one JSON line, and ends with us, however we end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from evaluation.errors import EndpointError

ROOT = Path(__file__).parents[2]
_END_S = 15.0  # to end in good order; then its group is killed
_LOOK_S = 0.2


class Child:
    """`ready` waits until it listens; leaving the `with` ends it and all of its process group."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        """Start it. Its stdin is a pipe of ours, and it leaves when that closes: our end is its own."""
        self.name = name
        self.said: dict[str, Any] = {}
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**environment, "MERALION_EXIT_WITH_PARENT": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody of the group is left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def ready(self, limit_s: float, tell: Callable[[str], None]) -> str:
        """The address it listens at. Raises EndpointError when it ends first, or takes too long."""
        return self.until(self._address, limit_s, tell, f"Starting {self.name}")

    def until(self, found: Callable[[], str], limit_s: float, tell: Callable[[str], None], doing: str) -> str:
        """What `found` gives once that is not empty, telling how long it takes. Raises EndpointError."""
        began = time.monotonic()
        while not (what := found()):
            waited = time.monotonic() - began
            if self._process.poll() is not None:
                raise EndpointError(f"{self.name} ended instead of starting. {self.last_words}")
            if waited > limit_s:
                raise EndpointError(f"{self.name} was not ready after {limit_s:.0f} s. {self.last_words}")
            tell(f"{doing}: {waited:.0f} s")
            time.sleep(_LOOK_S)
        return what

    @property
    def last_words(self) -> str:
        """The last plain sentence of its log, which says what is wrong."""
        lines = self._log.read_text("utf-8", "replace").splitlines()
        plain = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("{")]
        return plain[-1][:400] if plain else f"Its log, {self._log}, says nothing of the reason."

    def _address(self) -> str:
        return f"http://{self.said['host']}:{self.said['port']}" if self.said else ""

    def _listen(self) -> None:
        """Take the line that says where it listens, then read on so that its pipe never fills."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                said = json.loads(line)
                if said["event"] == "ready":
                    self.said = said
