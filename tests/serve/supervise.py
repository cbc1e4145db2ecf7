"""The supervisor of `python -m model.serve` around the fake server: PORT, then arguments for the server."""

from __future__ import annotations

import os
import sys

from model.serve import processes
from model.serve.server import Server, end_with_parent
from tests.speech import ROOT

processes.GRACE = 1.0


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    command = [sys.executable, "-m", "tests.serve.fake_server", *sys.argv[1:]]
    server = Server(command, os.environ, ROOT)
    end_with_parent(server)
    code = server.run("127.0.0.1", int(sys.argv[1]), lambda: tell("ready"))
    if code:
        tell(server.last_words())
    return code


if __name__ == "__main__":
    sys.exit(main())
