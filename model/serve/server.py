"""vLLM from its start to its end: passes its log on, waits until it answers, tells how it ended."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from model.serve.processes import Group

READY_WITHIN = 1_800.0  # s; weights of 20 GB may come from a slow disk
_POLL = 0.25  # s
_LOOK = 5.0  # s between looks at shared memory
_LINES = 400  # of the log, kept to find the reason of an end
_PREFIX = re.compile(r"^(\(\w+ pid=\d+\) )?([A-Z]+ \d\d-\d\d [\d:]+ \[[^]]*\] ?)?")
_REASON = re.compile(r"^[\w.]*(Error|Exception|Version|Interrupt): (?P<words>\S.*)")
_VAGUE = (
    "Please check the logs",
    "See root cause above",
    "Engine core initialization failed",
    "WorkerProc initialization failed",
)


class Server:
    """One vLLM server."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self._stop = threading.Event()
        self._signal = signal.SIGTERM
        self._times = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        self._group = Group(command, environment, folder)
        self._log: deque[str] = deque(maxlen=_LINES)
        self._reader = threading.Thread(target=self._read, args=(self._group.output,), daemon=True)
        self._reader.start()

    def run(self, host: str, port: int, ready: Callable[[], None]) -> int:
        """Wait until it answers, call `ready`, and stay until it ends; 0: it was stopped, 1: it died."""
        try:
            if self._until_ready(_reachable(host), port):
                ready()
                self._until_end()
        finally:
            self._group.end(self._signal)
            self._reader.join(timeout=2)
        return 0 if self._stop.is_set() else 1

    def stop(self) -> None:
        """End the server soon, from any thread."""
        self._stop.set()

    def _on_signal(self, number: int, _frame: object) -> None:
        self._signal = signal.Signals(number)
        self._times += 1
        self._stop.set()
        if self._times > 1:  # whoever asks twice does not want to wait
            self._group.kill()

    def _until_ready(self, host: str, port: int) -> bool:
        end = time.monotonic() + READY_WITHIN
        while not self._stop.wait(_POLL) and self._group.poll() is None:
            if _healthy(host, port):
                self._group.look()
                return True
            if time.monotonic() > end:
                self._log.append(f"TimeoutError: it did not answer within {READY_WITHIN / 60:g} minutes")
                return False
        return False

    def _until_end(self) -> None:
        looked = time.monotonic()
        while not self._stop.wait(_POLL) and self._group.poll() is None:
            if time.monotonic() - looked > _LOOK:
                looked = time.monotonic()
                self._group.look()

    def _read(self, output: IO[bytes]) -> None:
        """Pass the log on, so that its pipe never fills, and keep its end."""
        for raw in output:
            line = raw.decode("utf-8", "replace")
            self._log.append(line)
            with contextlib.suppress(OSError, ValueError):  # nobody reads ours any more
                sys.stderr.write(line)
                sys.stderr.flush()

    def last_words(self) -> str:
        """How it ended, and the reason that its log gives."""
        code = self._group.poll()
        how = (
            f"was killed by {signal.Signals(-code).name}"
            + (", as happens when memory runs out" if code == -signal.SIGKILL else "")
            if code is not None and code < 0
            else f"ended with exit code {code}"
        )
        reason = reason_in(self._log)
        return f"The vLLM server {how}." + (f" Its last words: {reason}" if reason else "")


def reason_in(log: Sequence[str] | deque[str]) -> str:
    """The last error in a log that says something, without vLLM's prefixes; else its last line."""
    lines = [_PREFIX.sub("", line).strip() for line in log]
    lines = [line for line in lines if line]
    found = [match for line in lines if (match := _REASON.match(line))]
    told = [match for match in found if not any(vague in match.string for vague in _VAGUE)]
    if told:
        return told[-1]["words"]
    return lines[-1] if lines else ""


def end_with_parent(stop: Server) -> None:
    """Stop the server when stdin ends, which the parent holds open."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        stop.stop()

    threading.Thread(target=wait, daemon=True).start()


def _reachable(host: str) -> str:
    """Where this machine reaches a server that listens everywhere."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104


def _healthy(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
