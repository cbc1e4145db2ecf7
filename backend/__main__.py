"""Start the controller, and the engines its registry tells it to start: `python -m backend`.

When it listens it prints one JSON line on stdout: {"event": "ready", "host": "127.0.0.1", "port": 8000}.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import gc
import json
import math
import os
import socket
import sys
import threading
from collections.abc import Sequence

import uvicorn
from uvicorn.protocols.http import httptools_impl

from backend import logs, settings
from backend.api import create_app
from backend.controller import Controller
from backend.engines import EMBEDDED
from backend.errors import StartError
from backend.protocol import Protocol
from backend.settings import Settings

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h
_BODY_PIECE = 256 * 2**10  # bytes of a body that wait for us; uvicorn's 64 KiB makes a clip many small steps
_LAST_WORDS_S = 1.0  # for streams to say that the server is stopping
_GRACE_S = 2.0  # after the end of whoever started us
# A connection that waits for a question is closed so long after an answer has left us, which on a bad link is
# not when it arrives. Proxies keep theirs for less (Caddy 120 s, nginx 60 s), and so are the ones to close.
_KEPT_S = 130


def main(engine_command: Sequence[str] = EMBEDDED) -> int:
    """Serve until told to stop; return the exit code."""
    logs.configure()
    _give_memory_back()
    httptools_impl.HIGH_WATER_LIMIT = _BODY_PIECE  # type: ignore[attr-defined]
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
        proxy_headers=False,  # identity.py reads them, from proxies that are trusted
        ws="none",
        http=Protocol,
        lifespan="on",
        timeout_keep_alive=_KEPT_S,
        timeout_graceful_shutdown=math.ceil(chosen.shutdown_grace_s + _LAST_WORDS_S),
    )
    server = _Server(config, app.state.controller)
    _collect_seldom()
    if os.environ.get("MERALION_EXIT_WITH_PARENT") == "1":
        threading.Thread(target=_leave_with_parent, args=(server,), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C, which uvicorn tells again when all has ended
        server.run(sockets=[listener])
    return 0


class _Server(uvicorn.Server):
    """Says when it listens, and tells those who are still being answered that it stops."""

    def __init__(self, config: uvicorn.Config, house: Controller) -> None:
        super().__init__(config)
        self._house = house

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        telling = asyncio.create_task(self._tell())
        await super().shutdown(sockets)
        telling.cancel()

    async def _tell(self) -> None:
        await asyncio.sleep(self._house.settings.shutdown_grace_s)
        await self._house.flights.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if sockets:
            host, port = sockets[0].getsockname()[:2]
            print(json.dumps({"event": "ready", "host": host, "port": port}), flush=True)


def _give_memory_back() -> None:
    """Let glibc return a freed upload to the system at once; by itself it would keep tens of megabytes.

    Up to 8 MiB come from what it keeps: to map the room for a clip anew at each step takes milliseconds.
    """
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        glibc = ctypes.CDLL(None)
        glibc.mallopt(_M_MMAP_THRESHOLD, 8 * 2**20)
        glibc.mallopt(_M_TRIM_THRESHOLD, 16 * 2**20)


def _collect_seldom() -> None:
    """Look for cycles among what is new, and not so often: modules and models stay as long as we do."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


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
