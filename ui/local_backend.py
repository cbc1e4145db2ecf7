"""A controller of our own: started once per Streamlit server, restarted when it has died, ended with us.

The child's stdin is a pipe that only we hold. However this process ends, kill -9 included, the pipe closes,
the controller reads the end of it and exits, and its engines with it.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import secrets
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

from ui.wire import ClientError

COMMAND = (sys.executable, "-m", "backend")
END_TIMEOUT_S = 5.0


class LocalBackend:
    """One controller process. Any number of threads may ask for its address; only one of them starts it."""

    def __init__(
        self, root: Path, start_timeout_s: float, command: tuple[str, ...] = COMMAND, secret: str = ""
    ) -> None:
        """Prepare to run `command`; visitors are signed with `secret`, or else with one of our own."""
        self.secret = secret or secrets.token_urlsafe(32)
        self._root = root
        self._start_timeout_s = start_timeout_s
        self._command = command
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._url = ""
        self._last_sentence = ""
        atexit.register(self.close)

    def url(self) -> str:
        """Return the address of a running controller, starting one where none runs. Raises ClientError."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            return self._url

    def close(self) -> None:
        """End the controller; a later `url` starts another."""
        with self._lock:
            self._end()

    def _start(self) -> None:
        self._last_sentence = ""
        path = os.pathsep.join(filter(None, (str(self._root), os.environ.get("PYTHONPATH", ""))))
        environment = {
            **os.environ,
            "MERALION_HOST": "127.0.0.1",
            "MERALION_PORT": "0",
            "MERALION_EXIT_WITH_PARENT": "1",
            "MERALION_VISITOR_SECRET": self.secret,
            "PYTHONPATH": path,
        }
        # Python's pipes are not inheritable and close_fds is on: no other child can keep stdin open.
        process = subprocess.Popen(
            self._command,
            cwd=self._root,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self._process = process
        ready: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        assert process.stdout is not None
        assert process.stderr is not None
        errors = threading.Thread(target=self._copy_log, args=(process.stderr,), daemon=True)
        errors.start()
        threading.Thread(target=_watch_stdout, args=(process.stdout, ready), daemon=True).start()
        try:
            url = ready.get(timeout=self._start_timeout_s)
        except queue.Empty:
            self._end()
            raise ClientError(
                f"The demo's backend was not ready within {self._start_timeout_s:.0f} seconds. "
                "Press Ask again; if this goes on, the host will find the reason in the log.",
                "backend_slow",
                retryable=True,
            ) from None
        if url is None:
            process.wait()
            errors.join(timeout=1)
            reason = self._last_sentence or "Its log says why."
            raise ClientError(
                f"The demo's backend could not start. {reason}", "backend_failed", retryable=True
            )
        self._url = url

    def _copy_log(self, stream: IO[str]) -> None:
        """Pass the controller's log on to ours, keeping the last line that is a sentence and not JSON."""
        for line in stream:
            sys.stderr.write(line)
            if line.strip() and not line.lstrip().startswith("{"):
                self._last_sentence = line.strip()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        with contextlib.suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()
        process.terminate()
        try:
            process.wait(timeout=END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _watch_stdout(stream: IO[str], ready: queue.SimpleQueue[str | None]) -> None:
    """Report the address in the ready line, or None if the process ends without one; then drain the pipe."""
    for line in stream:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            event = json.loads(line)
            if event["event"] == "ready":
                ready.put(f"http://{event['host']}:{event['port']}")
    ready.put(None)
