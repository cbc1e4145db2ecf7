"""Start the embedded engine.

python -m model.embedded --port 8001     # 127.0.0.1:8001
python -m model.embedded --port 0        # a free port, told by a JSON line once the models are loaded
"""

import argparse
import asyncio
import json
import os
import socket
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.embedded.models import Models

STOP_WAIT = 2.0  # s for requests in progress when the parent is gone


def main() -> int:
    """Load the models, then serve until stopped. 2 stands for a start that could not work."""
    parser = argparse.ArgumentParser(prog="python -m model.embedded", description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8001, help="port, 0 for a free one (%(default)s)")
    arguments = parser.parse_args()
    if os.environ.get("MERALION_EXIT_WITH_PARENT") == "1":
        # From the first moment: loading takes seconds, and a parent may die in them.
        threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here may ever ask a hub
    # Threads that wait must sleep: on two busy cores, spinning ones made the text model seven times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    from model import logs
    from model.embedded import settings, tracing, weights
    from model.mini.tensors import ModelError
    from model.settings import SettingsError

    logs.configure(everything=True)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        chosen = settings.load()
        tracing.start(chosen.otlp_endpoint)
        listener.bind((arguments.host, arguments.port))
        from model.embedded.models import load

        models = load(chosen)
    except OSError as error:
        return _fail(
            f"Port {arguments.port} of {arguments.host} cannot be used: {error.strerror}. "
            "Choose another with --port."
        )
    except (SettingsError, weights.WeightsError, ModelError) as error:
        return _fail(str(error))
    except ImportError as error:  # a slim system has no libgomp.so.1, which llama.cpp stands on
        return _fail(
            f"The engine cannot be loaded: {error}. For a missing libgomp.so.1 on Debian or Ubuntu: "
            "apt install libgomp1. For a missing module: run make demo again."
        )
    except KeyboardInterrupt:
        os._exit(130)  # the threads that load do not end by themselves
    return asyncio.run(_serve(models, listener))


async def _serve(models: "Models", listener: socket.socket) -> int:
    import uvicorn

    from model.embedded.app import create_app

    config = uvicorn.Config(
        create_app(models),
        log_config=None,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=int(STOP_WAIT),
    )
    server = uvicorn.Server(config)
    host, port = listener.getsockname()[:2]
    # The socket listens from here on: who connects before uvicorn accepts waits in its queue.
    listener.listen()
    print(json.dumps({"event": "ready", "host": host, "port": port}), flush=True)
    await server.serve(sockets=[listener])
    # llama.cpp's threads do not end by themselves.
    sys.stdout.flush()
    os._exit(0)


def _end_with_parent() -> None:
    """Wait for the end of stdin, which the parent holds open, then leave."""
    while os.read(0, 4096):
        pass
    threading.Timer(STOP_WAIT, os._exit, (0,)).start()
    os.kill(os.getpid(), 15)


def _fail(sentence: str) -> int:
    print(sentence, file=sys.stderr, flush=True)
    return 2


if __name__ == "__main__":
    sys.exit(main())
