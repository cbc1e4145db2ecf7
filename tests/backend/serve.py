"""`python -m backend`, with the fake engine in place of the embedded one; arguments go to the engine."""

from __future__ import annotations

import sys

from backend.__main__ import main

if __name__ == "__main__":
    sys.exit(main((sys.executable, "-m", "tests.backend.fake_engine", *sys.argv[1:])))
