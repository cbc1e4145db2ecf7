"""The real engine with the real weights, started as the controller starts it, and people's voices."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.speech import ROOT


class Engine:
    """`python -m model.embedded` on a free port; it ends with `close`, or with this process."""

    def __init__(self, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "model.embedded", "--port", "0"],
            cwd=ROOT,
            env={**os.environ, "MERALION_EXIT_WITH_PARENT": "1", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout
        ready = json.loads(self.process.stdout.readline())
        self.url = f"http://{ready['host']}:{ready['port']}"
        self.http = httpx.Client(base_url=self.url, timeout=120)

    @property
    def resident_mb(self) -> float:
        """Memory in use, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1024

    def close(self) -> None:
        """Close its stdin, as a dead parent would."""
        self.http.close()
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.process.stdout.close()


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    started = Engine()
    yield started
    started.close()
