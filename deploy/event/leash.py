"""Runs one program that ends with whoever started it: `python -m deploy.event.leash PROGRAM ARGUMENT...`.

Our stdin is a pipe that only the starter holds. However the starter ends, kill -9 included, the pipe closes,
and the program is told to end, then made to. Where the system can (Linux), it also ends when we are killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading

_GRACE_S = 5.0
_PR_SET_PDEATHSIG = 1  # from sys/prctl.h


def main(command: list[str]) -> int:
    """Run the command; return its exit code."""
    try:
        # No thread of ours runs yet, so that what is done between fork and exec is safe.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_end_with_parent)
    except OSError as error:
        print(f"{command[0]} cannot be run: {error.strerror}.", file=sys.stderr)  # noqa: T201
        return 127
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_wait_for_end, args=(process,), daemon=True).start()
    return process.wait()


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait_for_end(process: subprocess.Popen[bytes]) -> None:
    while os.read(sys.stdin.fileno(), 2**12):
        pass
    process.terminate()
    threading.Timer(_GRACE_S, _kill, args=(process,)).start()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
