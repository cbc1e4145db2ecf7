"""Start the controller, and the engines its registry tells it to start: `python -m backend`.

When it listens it prints one JSON line on stdout: {"event": "ready", "host": "127.0.0.1", "port": 8000}.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import socket
import sys
import threading
from collections.abc import Sequence

import uvicorn

from backend import logs, settings
from backend.api import create_app
from backend.engines import EMBEDDED
from backend.errors import StartError
from backend.settings import Settings

_M_MMAP_THRESHOLD = -3  # from malloc.h
_GRACE_S = 2.0  # for answers under way when we are asked to stop


def main(engine_command: Sequence[str] = EMBEDDED) -> int:
    """Serve until told to stop; return the exit code."""
    logs.configure()
    _give_memory_back()
    try:
        chosen = settings.load()
        app = create_app(chosen, engine_command)
        listener = _listen(chosen)
    except StartError as error:
        print(error, file=sys.stderr)
        return 2
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        h11_max_incomplete_event_size=64 * 2**10,
        timeout_graceful_shutdown=int(_GRACE_S),
    )
    server = _Server(config)
    if os.environ.get("MERALION_EXIT_WITH_PARENT") == "1":
        threading.Thread(target=_leave_with_parent, args=(server,), daemon=True).start()
    server.run(sockets=[listener])
    return 0


class _Server(uvicorn.Server):
    """Says when it listens."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if sockets:
            host, port = sockets[0].getsockname()[:2]
            print(json.dumps({"event": "ready", "host": host, "port": port}), flush=True)


def _give_memory_back() -> None:
    """Let glibc return a freed upload to the system at once; by itself it would keep tens of megabytes."""
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 2**20)


def _listen(chosen: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in chosen.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((chosen.host, chosen.port))
        listener.listen(1_024)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise StartError(
                f"Port {chosen.port} is taken: another program, perhaps another controller, listens there. "
                "Stop it, or set MERALION_PORT to a free port (0 picks one)."
            ) from None
        raise StartError(
            f"Cannot listen on {chosen.host}:{chosen.port} ({error.strerror or error}). "
            "Set MERALION_HOST and MERALION_PORT to an address of this machine."
        ) from None
    return listener


def _leave_with_parent(server: uvicorn.Server) -> None:
    """Wait for the end of stdin, which is the end of whoever started us; then stop, soon or at once."""
    while os.read(sys.stdin.fileno(), 2**12):
        pass
    server.should_exit = True
    threading.Timer(_GRACE_S, os._exit, args=(0,)).start()


if __name__ == "__main__":
    sys.exit(main())
